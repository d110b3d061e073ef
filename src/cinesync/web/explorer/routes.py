"""Pages to look at the ledger with: blocks, validators, trees, receipts. Nobody signs in here."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from babel.dates import format_datetime
from flask import Blueprint, abort, current_app, make_response, render_template, request
from flask_babel import get_locale  # type: ignore[import-untyped]
from werkzeug.wrappers import Response

from cinesync.web.api_client import ApiDown, ApiProblem
from cinesync.web.api_models import Page
from cinesync.web.explorer import model, tree
from cinesync.web.explorer.model import Block, Placed, Status
from cinesync.web.session import api

blueprint = Blueprint("ledger", __name__)

BLOCKS_PER_PAGE: Final = 15
ENTRIES_PER_PAGE: Final = 50
HEIGHT_MAX: Final = 2**53 - 1
RECEIPTS_SHOWN_MAX: Final = 12
NOT_FOUND, SERVER_ERRORS, AWAY = 404, 500, 503
RETRY_AFTER_SECONDS: Final = 5


@blueprint.get("/ledger")
def overview() -> Response:
    shown = _now() if "after" not in request.args else {"blocks": _blocks()}
    return make_response(render_template("ledger.html", **shown))


@blueprint.get("/ledger/now")
def now() -> Response:
    """The part of the overview that changes, for the page's script."""
    try:
        return make_response(render_template("ledger_now.html", **_now()))
    except ApiProblem as problem:
        if not _is_away(problem):
            raise
        return make_response(render_template("ledger_now.html", status=None))


@blueprint.get("/ledger/blocks/<int:height>")
def block(height: int) -> Response:
    if not 1 <= height <= HEIGHT_MAX:
        abort(NOT_FOUND)
    found = api().ledger_block(height)
    chosen = found.position(request.args.get("entry", ""))
    leaves = model.leaf_hashes(found.entries)
    body = render_template(
        "ledger_block.html",
        block=found,
        chosen=chosen,
        picture=tree.draw(leaves, chosen),
        agrees=tree.root_of(leaves).hex() == found.header.entries_root,
        newest=api().ledger_status().height or height,
        page=_entries_page(found, chosen),
    )
    return make_response(body)


@blueprint.get("/ledger/entries/<uuid:event_id>")
def entry(event_id: UUID) -> Response:
    text, receipt = api().receipt(str(event_id))
    body = render_template(
        "ledger_entry.html",
        receipt=receipt,
        text=text,
        height=_height_of(receipt),
        genesis=_genesis(),
    )
    return make_response(body)


@blueprint.get("/ledger/bookings/<uuid:booking_id>")
def booking(booking_id: UUID) -> Response:
    """All that the chain has of a booking, with receipts and proof for this browser to verify."""
    found = api().ledger_entries(str(booking_id))
    body = render_template(
        "ledger_booking.html",
        booking_id=booking_id,
        entries=found.items,
        receipts={one.event_id: _receipt(one) for one in found.items[:RECEIPTS_SHOWN_MAX]},
        completeness=_completeness(booking_id),
        genesis=_genesis(),
        status=api().ledger_status(),
    )
    return make_response(body)


@blueprint.get("/verify")
def verify() -> Response:
    return make_response(render_template("verify.html", genesis=_genesis()))


@blueprint.errorhandler(ApiProblem)
def trouble(problem: ApiProblem) -> Response:
    """The ledger's own no, or its silence, as a sentence; the shop goes on all the same."""
    away = _is_away(problem)
    body = render_template("ledger_away.html", away_now=away, sentence=problem.sentence)
    response = make_response(body, AWAY if away else problem.status)
    if away:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


@blueprint.app_template_filter("utc")
def utc(at: datetime) -> str:
    return format_datetime(at, format="d MMM y, HH:mm:ss 'UTC'", locale=get_locale())


@blueprint.app_template_filter("kind")
def kind(name: str) -> str:
    """`payment.success` is Payment success."""
    return name.replace(".", " ").replace("_", " ").capitalize()


def _now() -> dict[str, Any]:
    """With too few validators there are no blocks to tell of, but there is how they stand."""
    status: Status = api().ledger_status()
    return {"status": status, "blocks": _blocks() if status.height is not None else None}


def _blocks() -> Page[Block]:
    paging: dict[str, str | int] = {"limit": BLOCKS_PER_PAGE}
    if after := request.args.get("after"):
        paging["after"] = after
    return api().ledger_blocks(paging)


def _entries_page(found: Block, chosen: int | None) -> dict[str, Any]:
    """The entries around the chosen one, or from where the address says."""
    first = request.args.get("from", type=int)
    if first is None:
        first = (chosen or 0) // ENTRIES_PER_PAGE * ENTRIES_PER_PAGE
    first = min(max(0, first), max(0, len(found.entries) - 1))
    last = min(first + ENTRIES_PER_PAGE, len(found.entries))
    before = max(0, first - ENTRIES_PER_PAGE)
    return {"first": first, "last": last, "before": before, "entries": found.entries[first:last]}


def _receipt(one: Placed) -> str | None:
    """None: not yet, or not here; the entry itself is shown all the same."""
    try:
        return api().receipt(one.event_id)[0]
    except ApiProblem:
        return None


def _completeness(booking_id: UUID) -> str | None:
    """None: not to be had right now."""
    try:
        return api().completeness(str(booking_id))
    except ApiProblem:
        return None


def _height_of(receipt: model.Receipt) -> int | None:
    """The block that the entry came in; the receipt's own header may be of a later one."""
    event_id = receipt.entry.get("event_id")
    try:
        found = api().ledger_entries(str(receipt.entry.get("booking_id"))).items
    except ApiProblem:
        return None
    return next((one.height for one in found if one.event_id == event_id), None)


def _genesis() -> str | None:
    """The first one ever seen here: it is the chain's name, and must not change unnoticed."""
    pinned: dict[str, str] = current_app.extensions.setdefault("genesis", {})
    if "text" not in pinned:
        try:
            pinned["text"] = api().genesis()
        except ApiProblem:
            return None
    return pinned["text"]


def _is_away(problem: ApiProblem) -> bool:
    """It does not answer, or the gateway knows of no ledger (whose own problems have a type)."""
    unknown = problem.status == NOT_FOUND and "type" not in problem.members
    return isinstance(problem, ApiDown) or problem.status >= SERVER_ERRORS or unknown
