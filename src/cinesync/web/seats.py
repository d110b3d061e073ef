"""The seat map, and the hold of the seats chosen on it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cinesync.chassis import clock
from cinesync.web import seat_parts, session
from cinesync.web.api import ApiProblem
from cinesync.web.formats import money
from cinesync.web.model import SEATS_PER_HOLD_MAX, SeatMap, Show, alternatives_of
from cinesync.web.public import public
from cinesync.web.seatmap import KIND_NAMES, draw
from cinesync.web.session import api

blueprint = Blueprint("seats", __name__)

CONFLICT, RULE_BROKEN, TOO_MANY = 409, 422, 429
PARTY_DEFAULT = 2
PAGE_SECONDS = 1  # a browser's script makes up for it: the page's version is where it follows from


@blueprint.get("/shows/<uuid:show_id>")
@public(PAGE_SECONDS)
def seat_map(show_id: UUID) -> Response:
    return _page(str(show_id), chosen=request.args.getlist("seat"))


@blueprint.post("/shows/<uuid:show_id>/hold")
def hold(show_id: UUID) -> Response:
    seats = request.form.getlist("seat")
    if "best" in request.form:
        return take(_best_wanted(str(show_id)))
    if not seats:
        return _page(str(show_id), sentence="Choose at least one seat first.", status=RULE_BROKEN)
    if len(seats) > SEATS_PER_HOLD_MAX:
        sentence = f"{SEATS_PER_HOLD_MAX} seats are the most in one go; you chose {len(seats)}."
        return _page(str(show_id), chosen=seats, sentence=sentence, status=RULE_BROKEN)
    return take({"show_id": str(show_id), "seats": seats})


def _best_wanted(show_id: str) -> dict[str, Any]:
    wanted: dict[str, Any] = {"show_id": show_id, "best": _party()}
    if zone := request.form.get("zone"):
        wanted["zone"] = zone
    return wanted


def take(wanted: dict[str, Any]) -> Response:
    """Holds the seats and goes on to pay; without a sign-in, remembers them until then."""
    session.want(wanted)
    token = session.access_token()
    try:
        held = api().hold(token, wanted)
    except ApiProblem as problem:
        return _refused(wanted, problem)
    session.keep_hold(held, api().show(wanted["show_id"]))
    return redirect(url_for("checkout.pay_page", hold_id=held.hold_id), 303)


def _refused(wanted: Mapping[str, Any], problem: ApiProblem) -> Response:
    if problem.status not in {CONFLICT, RULE_BROKEN, TOO_MANY}:
        raise problem
    session.forget_wanted()
    others = alternatives_of(problem.members)
    if problem.status != CONFLICT and not others:
        return _page(
            wanted["show_id"],
            chosen=wanted.get("seats", ()),
            sentence=f"{problem.title} {problem.detail}",
            rule=str(problem.members.get("rule", "")),
            status=problem.status,
        )
    return _conflict(wanted, problem, others)


def _conflict(
    wanted: Mapping[str, Any], problem: ApiProblem, others: Sequence[Sequence[str]]
) -> Response:
    seats = api().seats(wanted["show_id"])
    prices = {seat.seat: seat.price_cents for seat in seats.seats}
    offers = [(group, sum(prices.get(seat, 0) for seat in group)) for group in others]
    body = render_template(
        "conflict.html",
        show=api().show(wanted["show_id"]),
        problem=problem,
        chosen=wanted.get("seats", ()),
        taken=problem.members.get("seats", ()) if problem.status == CONFLICT else (),
        offers=offers,
        currency=seats.currency,
    )
    return make_response(body, problem.status)


def _page(
    show_id: str,
    *,
    chosen: Sequence[str] = (),
    sentence: str = "",
    rule: str = "",
    status: int = 200,
) -> Response:
    seats, show = api().seats(show_id), api().show(show_id)
    closed = _why_closed(seats, show)
    every = {seat.price_cents for seat in seats.seats}
    prices = {cents: money(cents, seats.currency) for cents in every}
    body = render_template(
        "seats.html",
        show=show,
        seats=seats,
        drawing=draw(seats.seats),
        sentence=sentence or closed,
        is_open=not closed,
        party=_party(),
        seats_max=SEATS_PER_HOLD_MAX,
        prices=prices,
        marks=partial(seat_parts.marks, prices),
        boxes=partial(seat_parts.boxes, prices, frozenset(chosen)),
        kinds=sorted({seat.kind for seat in seats.seats}),
        kind_names=KIND_NAMES,
        rule=rule,
    )
    return make_response(body, status)


def _why_closed(seats: SeatMap, show: Show) -> str:
    """Why no seat of the show is sold now, or nothing."""
    if seats.cancelled:
        reason = seats.cancel_reason or show.cancel_reason
        why = f": {reason}" if reason else ""
        return f"This show was cancelled{why}. Please choose another one."
    if seats.sales_close_at and seats.sales_close_at <= clock.now():
        if show.starts_at > clock.now():
            return "Tickets for this show are no longer sold. Please choose another one."
        return "This show has begun, and its tickets are no longer sold."
    return ""


def _party() -> int:
    """The party size asked for, within what one hold may have."""
    given = request.values.get("best") or request.values.get("party") or ""
    return min(max(int(given), 1), SEATS_PER_HOLD_MAX) if given.isdecimal() else PARTY_DEFAULT
