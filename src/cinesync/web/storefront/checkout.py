"""From held seats to a ticket: the countdown, the payment, and waiting for its outcome."""

from typing import Any
from uuid import UUID

from flask import (
    Blueprint,
    flash,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response

from cinesync.chassis import clock
from cinesync.web import session
from cinesync.web.api_client import ApiProblem
from cinesync.web.api_models import TEST_CARDS, Booking, Hold, Outcome, Payment, SeatMap, outcome_of
from cinesync.web.session import api

blueprint = Blueprint("checkout", __name__)

NOT_FOUND, GONE, SERVER_ERRORS = 404, 410, 500
SHOW_IS_OFF = "released_show"  # booking's word for it
TOKENS = frozenset(card.token for card in TEST_CARDS)
UNKNOWN_OUTCOME = (
    "We could not learn whether this payment went through. Please try again with the same card: "
    "it is the same payment, so you cannot be charged twice."
)


@blueprint.get("/holds/<uuid:hold_id>")
def pay_page(hold_id: UUID) -> Response:
    begun = session.payment_of(str(hold_id))
    # Whoever comes back while a payment is under way should not be asked for another one.
    if begun and "again" not in request.args and _is_pending(begun):
        return redirect(url_for("checkout.payment", payment_id=begun), 303)
    return _checkout(str(hold_id))


@blueprint.get("/holds/<uuid:hold_id>/payment")
def back_from_bank(hold_id: UUID) -> Response:
    begun = session.payment_of(str(hold_id))
    if begun:
        return redirect(url_for("checkout.payment", payment_id=begun), 303)
    return redirect(url_for("checkout.pay_page", hold_id=hold_id), 303)


def _is_pending(payment_id: str) -> bool:
    return api().payment(session.access_token(), payment_id).status == "pending"


@blueprint.post("/holds/<uuid:hold_id>/extend")
def extend(hold_id: UUID) -> Response:
    try:
        held = api().extend(session.access_token(), str(hold_id))
    except ApiProblem as problem:
        if problem.status >= SERVER_ERRORS or problem.status == 401:  # noqa: PLR2004 RFC 9110
            raise
        return _checkout(str(hold_id), sentence=problem.sentence, status=problem.status)
    session.keep_hold(held, api().show(held.show_id))
    return redirect(url_for("checkout.pay_page", hold_id=hold_id), 303)


@blueprint.post("/holds/<uuid:hold_id>/release")
def release(hold_id: UUID) -> Response:
    held = api().held(session.access_token(), str(hold_id))
    api().release(session.access_token(), str(hold_id))
    session.forget_hold(str(hold_id))
    return redirect(url_for("seats.seat_map", show_id=held.show_id), 303)


@blueprint.post("/holds/<uuid:hold_id>/pay")
def pay(hold_id: UUID) -> Response:
    card, key = request.form.get("card", ""), request.form.get("key", "")
    # The API decides whether these seats cost nothing, whatever the form said.
    if (card and card not in TOKENS) or not _is_uuid(key):
        return _checkout(str(hold_id), sentence="Choose a card to pay with.", status=422, card=card)
    try:
        payment = api().pay(session.access_token(), str(hold_id), card, key)
    except ApiProblem as problem:
        return _not_paid(str(hold_id), card, key, problem)
    session.keep_payment(str(hold_id), payment.payment_id)
    if outcome_of(payment, None) is Outcome.DECLINED:
        flash(_declined_sentence(payment), "danger")
        return redirect(url_for("checkout.pay_page", hold_id=hold_id), 303)
    return redirect(url_for("checkout.payment", payment_id=payment.payment_id), 303)


def _not_paid(hold_id: str, card: str, key: str, problem: ApiProblem) -> Response:
    if problem.status == 401:  # noqa: PLR2004 RFC 9110
        raise problem
    if problem.kind in {"already-paid", "payment-underway"}:
        return _paid_before(hold_id, problem)
    if problem.kind == "token-missing":
        return _checkout(hold_id, sentence="Choose a card to pay with.", status=422)
    if problem.status >= SERVER_ERRORS:
        # The same key: whatever the first attempt did, the second cannot do it again.
        return _checkout(hold_id, sentence=UNKNOWN_OUTCOME, status=503, card=card, key=key)
    return _checkout(hold_id, sentence=problem.sentence, status=problem.status, card=card)


def _paid_before(hold_id: str, problem: ApiProblem) -> Response:
    """Another payment of these seats came first: lead to what became of it."""
    earlier = str(problem.members.get("payment_id", ""))
    if _is_uuid(earlier):
        session.keep_payment(hold_id, earlier)
        flash("There is a payment for these seats already. Nothing more was taken.", "info")
        return redirect(url_for("checkout.payment", payment_id=earlier), 303)
    session.forget_hold(hold_id)
    flash("These seats are paid for already: this is your booking.", "info")
    return redirect(url_for("account.booking", booking_id=hold_id), 303)


@blueprint.get("/payments/<uuid:payment_id>")
def payment(payment_id: UUID) -> Response:
    """Where a purchase ends, or waits for its end."""
    paid, booking = _how_it_stands(str(payment_id))
    outcome = outcome_of(paid, booking)
    if outcome is Outcome.TICKET and booking is not None:
        session.forget_hold(booking.booking_id)
        if any(one.payment_id == paid.payment_id for one in booking.refused_payments):
            flash("You paid twice for these seats: the second payment goes back by itself.", "info")
        return redirect(url_for("account.booking", booking_id=booking.booking_id), 303)
    if outcome is Outcome.REFUNDED:
        session.forget_hold(paid.hold_id)
    body = render_template(
        "payment.html",
        payment=paid,
        outcome=outcome.value,
        why=_why_refunded(paid, booking),
        sentence=_declined_sentence(paid) if outcome is Outcome.DECLINED else "",
    )
    return make_response(body)


@blueprint.get("/payments/<uuid:payment_id>/state")
def payment_state(payment_id: UUID) -> Response:
    """For the waiting page's script: has anything happened yet?"""
    paid, booking = _how_it_stands(str(payment_id))
    return jsonify(outcome=outcome_of(paid, booking).value)


def _how_it_stands(payment_id: str) -> tuple[Payment, Booking | None]:
    paid = api().payment(session.access_token(), payment_id)
    if outcome_of(paid, None) is Outcome.DECLINED:
        return paid, None
    try:
        return paid, api().booking(session.access_token(), paid.hold_id)
    except ApiProblem as problem:
        if problem.status != NOT_FOUND:
            raise
        return paid, None


def _checkout(hold_id: str, *, status: int = 200, **shown: Any) -> Response:
    try:
        held = api().held(session.access_token(), hold_id)
    except ApiProblem as problem:
        if problem.status not in {NOT_FOUND, GONE}:
            raise
        return _over(hold_id, None)
    if held.status == "confirmed":
        session.forget_hold(hold_id)
        return redirect(url_for("account.booking", booking_id=hold_id), 303)
    if held.status != "held" or session.seconds_left(held) <= 0:
        return _over(hold_id, held)
    return make_response(_checkout_page(held, shown), status)


def _checkout_page(held: Hold, shown: dict[str, Any]) -> str:
    show = api().show(held.show_id)
    session.keep_hold(held, show)
    defaults = {"card": TEST_CARDS[0].token, "key": str(clock.new_id()), "sentence": ""}
    provider = api().payment_provider() if held.total_cents else None
    cards = TEST_CARDS if provider and provider.takes_test_cards else ()
    return render_template("checkout.html", **(defaults | shown), hold=held, show=show, cards=cards)


def _over(hold_id: str, held: Hold | None) -> Response:
    """The seats are free again: say so, and lead back to the map with them chosen. Those of a
    cancelled show are free for nobody: say what happened and why."""
    current = session.current_hold()
    known = current if current and current["hold_id"] == hold_id else {}
    show_id = held.show_id if held else known.get("show_id")
    session.forget_hold(hold_id)
    seats = held.seats if held else known.get("seats", [])
    found = _seat_map_of(show_id)
    body = render_template(
        "expired.html",
        show_id=show_id,
        seats=seats,
        cancelled=found is not None and found.cancelled,
        cancel_reason=found.cancel_reason if found else None,
    )
    return make_response(body, GONE)


def _seat_map_of(show_id: str | None) -> SeatMap | None:
    """None for one that is not known; what is over is over, with a show's details or without."""
    if not show_id:
        return None
    try:
        return api().seats(show_id)
    except ApiProblem as problem:
        if problem.status == 401:  # noqa: PLR2004 RFC 9110
            raise
        return None


def _why_refunded(paid: Payment, booking: Booking | None) -> str:
    """Why the payment became no booking, in a sentence."""
    refused = booking.refused_payments if booking else ()
    reasons = {one.payment_id: one.reason for one in refused}
    if booking is None or reasons.get(paid.payment_id) != SHOW_IS_OFF:
        return "The payment arrived, but the seats could not be kept for it any more."
    note = f": {booking.cancel_note}" if booking.cancel_note else ""
    return f"The payment arrived after the cinema had cancelled this show{note}."


def _declined_sentence(payment: Payment) -> str:
    reasons = {
        "card_declined": "Your bank declined the card.",
        "declined_by_holder": "You told your bank not to pay.",
        "insufficient_funds": "There is not enough money on the card.",
    }
    why = reasons.get(payment.failure_reason or "", "The payment did not go through.")
    return f"{why} Nothing was taken. Your seats are still yours; try another card."


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
