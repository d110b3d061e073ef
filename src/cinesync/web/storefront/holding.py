"""Holds the seats chosen on a map, or changes a hold to them; says why when that fails."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from flask import make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cinesync.web import session
from cinesync.web.api_client import ApiProblem
from cinesync.web.api_models import (
    SEATS_PER_HOLD_MAX,
    Hold,
    SaleChange,
    Seen,
    alternatives_of,
    fewer_of,
    groups_of,
)
from cinesync.web.session import api
from cinesync.web.storefront.seats import blueprint, page, party, seen_text

CONFLICT, RULE_BROKEN, TOO_MANY = 409, 422, 429
SEEN_CHARS_MAX = 4_000
SALE_CHANGED, HOLD_IS_OVER = "/problems/sale-changed", "/problems/hold-is-over"

Wanted = dict[str, Any]


@blueprint.post("/shows/<uuid:show_id>/hold")
def hold(show_id: UUID) -> Response:
    seats = request.form.getlist("seat")
    if "best" in request.form:
        return take(_wanted(str(show_id), best=party()))
    if not seats:
        return page(str(show_id), sentence="Choose at least one seat first.", status=RULE_BROKEN)
    if len(seats) > SEATS_PER_HOLD_MAX:
        sentence = f"{SEATS_PER_HOLD_MAX} seats are the most in one go; you chose {len(seats)}."
        return page(str(show_id), chosen=seats, sentence=sentence, status=RULE_BROKEN)
    return take(_wanted(str(show_id), seats=seats, accessible_need="need" in request.form))


def _wanted(show_id: str, **choice: Any) -> Wanted:
    """As the hold's body has it."""
    wanted: Wanted = {"show_id": show_id, **choice}
    if zone := request.form.get("zone"):
        wanted["zone"] = zone
    if seen := _seen(request.form.get("seen", "")):
        wanted["seen"] = seen
    return wanted


def _seen(text: str) -> Wanted | None:
    """What the form says its visitor saw; nothing if somebody wrote into it."""
    try:
        seen = msgspec.json.decode(text[:SEEN_CHARS_MAX], type=Seen)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    told: Wanted = msgspec.to_builtins(seen)
    return told


def take(wanted: Wanted) -> Response:
    """Holds the seats and goes on to pay; without a sign-in, remembers them until then."""
    session.want(wanted)
    token = session.access_token()
    held = session.hold_of(wanted["show_id"])
    if held and (begun := _pending_payment(token, held["hold_id"])):
        session.forget_wanted()
        return redirect(url_for("checkout.payment", payment_id=begun), 303)
    try:
        kept = _hold(token, wanted, held["hold_id"] if held else None)
    except ApiProblem as problem:
        return _refused(wanted, problem)
    session.keep_hold(kept, api().show(wanted["show_id"]))
    return redirect(url_for("checkout.pay_page", hold_id=kept.hold_id), 303)


def _pending_payment(token: str, hold_id: str) -> str | None:
    """Seats that are being paid for are not changed: the payment would come back."""
    begun = session.payment_of(hold_id)
    if begun and api().payment(token, begun).status == "pending":
        return begun
    return None


def _hold(token: str, wanted: Wanted, hold_id: str | None) -> Hold:
    """Other seats for the hold of this show, or a new hold."""
    if hold_id is not None:
        try:
            return api().change_seats(token, hold_id, wanted)
        except ApiProblem as problem:
            if not _is_over(problem):
                raise
            session.forget_hold(hold_id)
    return api().hold(token, wanted)


def _is_over(problem: ApiProblem) -> bool:
    is_gone = problem.status == HTTPStatus.NOT_FOUND
    return is_gone or problem.members.get("type") == HOLD_IS_OVER


def _refused(wanted: Mapping[str, Any], problem: ApiProblem) -> Response:
    if problem.status not in {CONFLICT, RULE_BROKEN, TOO_MANY}:
        raise problem
    session.forget_wanted()
    if problem.members.get("type") == SALE_CHANGED:
        return _changed(wanted, problem)
    others = alternatives_of(problem.members)
    if problem.status != CONFLICT and not others:
        return page(
            wanted["show_id"],
            chosen=wanted.get("seats", ()),
            sentence=f"{problem.title} {problem.detail}",
            rule=str(problem.members.get("rule", "")),
            status=problem.status,
        )
    return _conflict(wanted, problem, others)


def _changed(wanted: Mapping[str, Any], problem: ApiProblem) -> Response:
    """What was seen and what is true by now, for the visitor to confirm."""
    change = msgspec.convert(problem.members, SaleChange)
    body = render_template(
        "changed.html",
        show=api().show(wanted["show_id"]),
        change=change,
        wanted=wanted,
        seen=seen_text(change.after),
    )
    return make_response(body, problem.status)


def _offer(
    groups: Sequence[Sequence[str]], prices: Mapping[str, int], *, fewer: bool
) -> dict[str, Any]:
    """Seats to take instead in one click, a group for each row; `fewer` than were asked for."""
    seats = [seat for group in groups for seat in group]
    cents = sum(prices.get(seat, 0) for seat in seats)
    return {"groups": groups, "seats": seats, "cents": cents, "fewer": fewer}


def _conflict(
    wanted: Mapping[str, Any], problem: ApiProblem, others: Sequence[Sequence[str]]
) -> Response:
    seats = api().seats(wanted["show_id"])
    prices = {seat.seat: seat.price_cents for seat in seats.seats}
    split = groups_of(problem.members)
    left = fewer_of(problem.members)
    every = [(groups, False) for groups in split or [[list(one)] for one in others]]
    every += [(left, True)] if left else []
    offers = [_offer(groups, prices, fewer=fewer) for groups, fewer in every]
    body = render_template(
        "conflict.html",
        show=api().show(wanted["show_id"]),
        problem=problem,
        chosen=wanted.get("seats", ()),
        taken=problem.members.get("seats", ()) if problem.status == CONFLICT else (),
        offers=offers,
        currency=seats.currency,
        need=wanted.get("accessible_need"),
        seen=seen_text(seats.seen),
    )
    return make_response(body, problem.status)
