"""The explorer's pages: blocks, validators, trees, receipts."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from babel.dates import format_datetime
from flask import abort, current_app, make_response, render_template, request
from flask_babel import get_locale  # type: ignore[import-untyped]
from werkzeug.wrappers import Response

from cinesync.proofs import merkle_log
from cinesync.proofs.receipts import Receipt
from cinesync.web.api_client import ApiProblem, ApiUnreachable
from cinesync.web.api_models import ListPage
from cinesync.web.explorer import tree
from cinesync.web.ledger_models import LedgerBlock, LedgerStatus, LogEntry
from cinesync.web.session import api

BLOCKS_PER_PAGE: Final = 15
ENTRIES_PER_PAGE: Final = 50
HEIGHT_MAX: Final = 2**53 - 1
RECEIPTS_SHOWN_MAX: Final = 12
RETRY_AFTER_SECONDS: Final = 5


def overview() -> Response:
    shown = _latest() if "after" not in request.args else {"blocks": _blocks()}
    return make_response(render_template("explorer/overview.html", **shown))


def latest() -> Response:
    """The part of the overview that changes; overview.js fetches it."""
    try:
        return make_response(render_template("explorer/latest.html", **_latest()))
    except ApiProblem as problem:
        if not _is_unavailable(problem):
            raise
        return make_response(render_template("explorer/latest.html", status=None))


def block(height: int) -> Response:
    if not 1 <= height <= HEIGHT_MAX:
        abort(HTTPStatus.NOT_FOUND)
    found = api().ledger_block(height)
    chosen = found.position(request.args.get("entry", ""))
    leaves = found.leaves
    body = render_template(
        "explorer/block.html",
        block=found,
        chosen=chosen,
        drawing=tree.draw(leaves, chosen),
        matches=merkle_log.root_of(leaves) == found.header.entries_root,
        newest=api().ledger_status().height or height,
        page=_entries_page(found, chosen),
    )
    return make_response(body)


def entry(event_id: UUID) -> Response:
    text, receipt = api().receipt(str(event_id))
    body = render_template(
        "explorer/entry.html",
        receipt=receipt,
        text=text,
        height=_height_of(receipt),
        genesis=_genesis(),
    )
    return make_response(body)


def booking(booking_id: UUID) -> Response:
    """All entries of a booking, with receipts and a proof that the browser verifies."""
    found = api().ledger_entries(str(booking_id)).items
    body = render_template(
        "explorer/booking.html",
        booking_id=booking_id,
        entries=found,
        receipts={one.entry.event_id: _receipt(one) for one in found[:RECEIPTS_SHOWN_MAX]},
        completeness=_completeness(booking_id),
        genesis=_genesis(),
        status=api().ledger_status(),
    )
    return make_response(body)


def verify() -> Response:
    return make_response(render_template("explorer/verify.html", genesis=_genesis()))


def api_problem(problem: ApiProblem) -> Response:
    """The error page of the explorer. It says that the shop works without the ledger."""
    unavailable = _is_unavailable(problem)
    body = render_template(
        "explorer/problem.html", is_unavailable=unavailable, sentence=problem.sentence
    )
    response = make_response(
        body, HTTPStatus.SERVICE_UNAVAILABLE if unavailable else problem.status
    )
    if unavailable:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def utc(microseconds: int) -> str:
    pattern = "d MMM y, HH:mm:ss 'UTC'"
    return format_datetime(_time(microseconds), format=pattern, locale=get_locale())


def iso_time(microseconds: int) -> str:
    return _time(microseconds).isoformat()


def _time(microseconds: int) -> datetime:
    """From microseconds since 1970, as headers and entries have them."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC)


def kind(name: str) -> str:
    """`payment.success` is Payment success."""
    return name.replace(".", " ").replace("_", " ").capitalize()


def _latest() -> dict[str, Any]:
    """The status, and the newest blocks unless too few validators answer."""
    status: LedgerStatus = api().ledger_status()
    return {"status": status, "blocks": _blocks() if status.height is not None else None}


def _blocks() -> ListPage[LedgerBlock]:
    paging: dict[str, str | int] = {"limit": BLOCKS_PER_PAGE}
    if after := request.args.get("after"):
        paging["after"] = after
    return api().ledger_blocks(paging)


def _entries_page(found: LedgerBlock, chosen: int | None) -> dict[str, Any]:
    """The page of entries with the chosen one, or from the position in the URL."""
    first = request.args.get("from", type=int)
    if first is None:
        first = (chosen or 0) // ENTRIES_PER_PAGE * ENTRIES_PER_PAGE
    first = min(max(0, first), max(0, len(found.entries) - 1))
    last = min(first + ENTRIES_PER_PAGE, len(found.entries))
    before = max(0, first - ENTRIES_PER_PAGE)
    return {"first": first, "last": last, "before": before, "entries": found.entries[first:last]}


def _receipt(one: LogEntry) -> str | None:
    """None while it is not available; the page shows the entry all the same."""
    try:
        return api().receipt(one.entry.event_id)[0]
    except ApiProblem:
        return None


def _completeness(booking_id: UUID) -> str | None:
    """None while it is not available."""
    try:
        return api().completeness(str(booking_id))
    except ApiProblem:
        return None


def _height_of(receipt: Receipt) -> int | None:
    """The height of the entry's block; the header in the receipt may be of a later one."""
    try:
        found = api().ledger_entries(receipt.entry.booking_id).items
    except ApiProblem:
        return None
    event_id = receipt.entry.event_id
    return next((one.height for one in found if one.entry.event_id == event_id), None)


def _genesis() -> str | None:
    """The first genesis that this process has seen: a later one cannot replace it unnoticed."""
    pinned: dict[str, str] = current_app.extensions.setdefault("genesis", {})
    if "text" not in pinned:
        try:
            pinned["text"] = api().genesis()
        except ApiProblem:
            return None
    return pinned["text"]


def _is_unavailable(problem: ApiProblem) -> bool:
    """No answer, a server error, or a gateway without a ledger (its 404 has no problem type)."""
    no_ledger = problem.status == HTTPStatus.NOT_FOUND and "type" not in problem.members
    return isinstance(problem, ApiUnreachable) or problem.is_server_error or no_ledger
