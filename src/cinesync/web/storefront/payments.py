"""From a payment to a ticket: the page that waits for the outcome."""

from http import HTTPStatus
from uuid import UUID

from flask import flash, jsonify, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response

from cinesync.web import session
from cinesync.web.api_client import ApiProblem
from cinesync.web.api_models import Booking, Payment, PurchaseState, purchase_state
from cinesync.web.session import api

SHOW_CANCELLED = "released_show"  # booking's reason for a refused payment
DECLINE_REASONS = {
    "card_declined": "Your bank declined the card.",
    "declined_by_holder": "You told your bank not to pay.",
    "insufficient_funds": "There is not enough money on the card.",
}


def return_from_bank(hold_id: UUID) -> Response:
    if payment_id := session.payment_of(str(hold_id)):
        return redirect(url_for("storefront.payment", payment_id=payment_id), 303)
    return redirect(url_for("storefront.checkout", hold_id=hold_id), 303)


def payment(payment_id: UUID) -> Response:
    """Waits for the outcome of a purchase, and shows it."""
    paid, booking = _purchase(str(payment_id))
    state = purchase_state(paid, booking)
    if state is PurchaseState.TICKET and booking is not None:
        session.forget_hold(booking.booking_id)
        if any(one.payment_id == paid.payment_id for one in booking.refused_payments):
            flash("You paid twice for these seats. We refund the second payment.", "info")
        return redirect(url_for("account.booking", booking_id=booking.booking_id), 303)
    if state is PurchaseState.REFUNDED:
        session.forget_hold(paid.hold_id)
    body = render_template(
        "storefront/payment.html",
        payment=paid,
        state=state.value,
        reason=_refund_reason(paid, booking),
        sentence=declined_sentence(paid) if state is PurchaseState.DECLINED else "",
    )
    return make_response(body)


def payment_state(payment_id: UUID) -> Response:
    """For watch.js."""
    paid, booking = _purchase(str(payment_id))
    return jsonify(state=purchase_state(paid, booking).value)


def declined_sentence(payment: Payment) -> str:
    reason = DECLINE_REASONS.get(payment.failure_reason or "", "The payment did not go through.")
    return f"{reason} Nothing was charged. Your seats are still yours; try another card."


def _purchase(payment_id: str) -> tuple[Payment, Booking | None]:
    paid = api().payment(session.access_token(), payment_id)
    if purchase_state(paid, None) is PurchaseState.DECLINED:
        return paid, None
    try:
        return paid, api().booking(session.access_token(), paid.hold_id)
    except ApiProblem as problem:
        if problem.status != HTTPStatus.NOT_FOUND:
            raise
        return paid, None


def _refund_reason(paid: Payment, booking: Booking | None) -> str:
    returned = booking.refused_payments if booking else ()
    reasons = {one.payment_id: one.reason for one in returned}
    if booking is None or reasons.get(paid.payment_id) != SHOW_CANCELLED:
        return "The payment arrived after the seats had been released."
    note = f": {booking.cancel_note}" if booking.cancel_note else ""
    return f"The payment arrived after the cinema had cancelled this show{note}."
