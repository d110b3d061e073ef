"""Holds the chosen seats, exchanges the seats of a hold, and says why that fails."""

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
    ChangedOffer,
    Hold,
    SeenOffer,
    alternatives_of,
    fewer_of,
    groups_of,
)
from cinesync.web.session import api
from cinesync.web.storefront.checkout import checkout_page
from cinesync.web.storefront.seats import party_size, seat_map_page, seen_json

SEEN_CHARS_MAX = 4_000
SALE_CHANGED, HOLD_IS_OVER = "/problems/sale-changed", "/problems/hold-is-over"
REFUSALS = {HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS}

HoldJson = dict[str, Any]  # the body of the hold request


def hold(show_id: UUID) -> Response:
    seats = request.form.getlist("seat")
    limit = api().seats(str(show_id)).seats_per_hold_max
    if "best" in request.form:
        return hold_seats(_hold_request(str(show_id), best=party_size(limit)))
    if not seats:
        return seat_map_page(str(show_id), sentence="Choose at least one seat.", status=422)
    if len(seats) > limit:
        sentence = f"You can hold at most {limit} seats at once; you chose {len(seats)}."
        return seat_map_page(str(show_id), chosen=seats, sentence=sentence, status=422)
    needs_accessible = "need" in request.form
    return hold_seats(_hold_request(str(show_id), seats=seats, accessible_need=needs_accessible))


def extend(hold_id: UUID) -> Response:
    try:
        extended = api().extend(session.access_token(), str(hold_id))
    except ApiProblem as problem:
        if problem.is_server_error or problem.is_unauthorized:
            raise
        return checkout_page(str(hold_id), sentence=problem.sentence, status=problem.status)
    session.store_hold(extended, api().show(extended.show_id))
    return redirect(url_for("storefront.checkout", hold_id=hold_id), 303)


def release(hold_id: UUID) -> Response:
    released = api().find_hold(session.access_token(), str(hold_id))
    api().release(session.access_token(), str(hold_id))
    session.forget_hold(str(hold_id))
    return redirect(url_for("storefront.seat_map", show_id=released.show_id), 303)


def _hold_request(show_id: str, **choice: Any) -> HoldJson:
    body: HoldJson = {"show_id": show_id, **choice}
    if zone := request.form.get("zone"):
        body["zone"] = zone
    if seen := _seen(request.form.get("seen", "")):
        body["seen"] = seen
    return body


def _seen(text: str) -> dict[str, Any] | None:
    """The offer that the form's page showed; None if the field was tampered with."""
    try:
        seen = msgspec.json.decode(text[:SEEN_CHARS_MAX], type=SeenOffer)
    except msgspec.MsgspecError:
        return None
    builtins: dict[str, Any] = msgspec.to_builtins(seen)
    return builtins


def hold_seats(hold_request: HoldJson) -> Response:
    """Hold the seats and go on to checkout; without a sign-in, store the request until then."""
    session.defer_hold(hold_request)
    token = session.access_token()
    current = session.hold_of(hold_request["show_id"])
    if current and (payment_id := _pending_payment(token, current["hold_id"])):
        session.forget_deferred_hold()
        return redirect(url_for("storefront.payment", payment_id=payment_id), 303)
    try:
        held = _hold(token, hold_request, current["hold_id"] if current else None)
    except ApiProblem as problem:
        return _refused(hold_request, problem)
    session.store_hold(held, api().show(hold_request["show_id"]))
    return redirect(url_for("storefront.checkout", hold_id=held.hold_id), 303)


def _pending_payment(token: str, hold_id: str) -> str | None:
    """While a payment is pending the seats stay: booking would refuse it for other seats."""
    payment_id = session.payment_of(hold_id)
    if payment_id and api().payment(token, payment_id).status == "pending":
        return payment_id
    return None


def _hold(token: str, hold_request: HoldJson, hold_id: str | None) -> Hold:
    """Exchange the seats of the current hold, or make a new hold."""
    if hold_id is not None:
        try:
            return api().change_seats(token, hold_id, hold_request)
        except ApiProblem as problem:
            if not _is_over(problem):
                raise
            session.forget_hold(hold_id)
    return api().hold_seats(token, hold_request)


def _is_over(problem: ApiProblem) -> bool:
    is_missing = problem.status == HTTPStatus.NOT_FOUND
    return is_missing or problem.members.get("type") == HOLD_IS_OVER


def _refused(hold_request: HoldJson, problem: ApiProblem) -> Response:
    if problem.status not in REFUSALS:
        raise problem
    session.forget_deferred_hold()
    if problem.members.get("type") == SALE_CHANGED:
        return _changed(hold_request, problem)
    alternatives = alternatives_of(problem.members)
    if problem.status != HTTPStatus.CONFLICT and not alternatives:
        return seat_map_page(
            hold_request["show_id"],
            chosen=hold_request.get("seats", ()),
            sentence=f"{problem.title} {problem.detail}",
            rule=str(problem.members.get("rule", "")),
            status=problem.status,
        )
    return _conflict(hold_request, problem, alternatives)


def _changed(hold_request: HoldJson, problem: ApiProblem) -> Response:
    """The price or the time changed: the visitor confirms or leaves."""
    change = msgspec.convert(problem.members, ChangedOffer)
    body = render_template(
        "storefront/changed.html",
        show=api().show(hold_request["show_id"]),
        change=change,
        hold_request=hold_request,
        seen=seen_json(change.after),
    )
    return make_response(body, problem.status)


def _offer(
    groups: Sequence[Sequence[str]], prices: Mapping[str, int], *, fewer: bool
) -> dict[str, Any]:
    """Seats that one click holds, a group for each row; `fewer` than the visitor requested."""
    seats = [seat for group in groups for seat in group]
    cents = sum(prices.get(seat, 0) for seat in seats)
    return {"groups": groups, "seats": seats, "cents": cents, "fewer": fewer}


def _conflict(
    hold_request: HoldJson, problem: ApiProblem, alternatives: Sequence[Sequence[str]]
) -> Response:
    seats = api().seats(hold_request["show_id"])
    prices = {seat.seat: seat.price_cents for seat in seats.seats}
    by_row = groups_of(problem.members) or [[list(one)] for one in alternatives]
    offers = [_offer(groups, prices, fewer=False) for groups in by_row]
    if left := fewer_of(problem.members):
        offers.append(_offer(left, prices, fewer=True))
    is_conflict = problem.status == HTTPStatus.CONFLICT
    body = render_template(
        "storefront/conflict.html",
        show=api().show(hold_request["show_id"]),
        problem=problem,
        chosen=hold_request.get("seats", ()),
        taken=problem.members.get("seats", ()) if is_conflict else (),
        offers=offers,
        currency=seats.currency,
        need=hold_request.get("accessible_need"),
        seen=seen_json(seats.seen),
    )
    return make_response(body, problem.status)
