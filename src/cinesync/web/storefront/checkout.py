"""The checkout page of a hold, and its payment form."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cinesync.chassis import clock
from cinesync.web import session
from cinesync.web.api_client import ApiProblem
from cinesync.web.api_models import TEST_CARDS, Hold, PurchaseState, SeatMap, purchase_state
from cinesync.web.session import api
from cinesync.web.storefront.payments import declined_sentence

CARD_TOKENS = frozenset(card.token for card in TEST_CARDS)
UNKNOWN_OUTCOME = (
    "We do not know yet whether this payment went through. Try again with the same card: it is the "
    "same payment, so you cannot be charged twice."
)


def checkout(hold_id: UUID) -> Response:
    payment_id = session.payment_of(str(hold_id))
    # A visitor with a pending payment must not start another one by mistake.
    if payment_id and "again" not in request.args and _is_pending(payment_id):
        return redirect(url_for("storefront.payment", payment_id=payment_id), 303)
    return checkout_page(str(hold_id))


def _is_pending(payment_id: str) -> bool:
    return api().payment(session.access_token(), payment_id).status == "pending"


def pay(hold_id: UUID) -> Response:
    card, key = request.form.get("card", ""), request.form.get("key", "")
    # The API decides whether these seats cost nothing, not the form.
    if (card and card not in CARD_TOKENS) or not _is_uuid(key):
        return checkout_page(
            str(hold_id), sentence="Choose a card to pay with.", status=422, card=card
        )
    try:
        payment = api().pay(session.access_token(), str(hold_id), card, key)
    except ApiProblem as problem:
        return _not_paid(str(hold_id), card, key, problem)
    session.store_payment(str(hold_id), payment.payment_id)
    if purchase_state(payment, None) is PurchaseState.DECLINED:
        flash(declined_sentence(payment), "danger")
        return redirect(url_for("storefront.checkout", hold_id=hold_id), 303)
    return redirect(url_for("storefront.payment", payment_id=payment.payment_id), 303)


def _not_paid(hold_id: str, card: str, key: str, problem: ApiProblem) -> Response:
    if problem.is_unauthorized:
        raise problem
    if problem.kind in {"already-paid", "payment-underway"}:
        return _paid_before(hold_id, problem)
    if problem.kind == "token-missing":
        return checkout_page(hold_id, sentence="Choose a card to pay with.", status=422)
    if problem.is_server_error:
        # With the same key a retry cannot pay a second time.
        return checkout_page(hold_id, sentence=UNKNOWN_OUTCOME, status=503, card=card, key=key)
    return checkout_page(hold_id, sentence=problem.sentence, status=problem.status, card=card)


def _paid_before(hold_id: str, problem: ApiProblem) -> Response:
    """Lead to the earlier payment of these seats."""
    earlier = str(problem.members.get("payment_id", ""))
    if _is_uuid(earlier):
        session.store_payment(hold_id, earlier)
        flash("There already is a payment for these seats. Nothing more was charged.", "info")
        return redirect(url_for("storefront.payment", payment_id=earlier), 303)
    session.forget_hold(hold_id)
    flash("These seats are already paid. This is your booking.", "info")
    return redirect(url_for("account.booking", booking_id=hold_id), 303)


def checkout_page(hold_id: str, *, status: int = 200, **shown: Any) -> Response:
    try:
        hold = api().find_hold(session.access_token(), hold_id)
    except ApiProblem as problem:
        if problem.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise
        return _expired(hold_id, None)
    if hold.status == "confirmed":
        session.forget_hold(hold_id)
        return redirect(url_for("account.booking", booking_id=hold_id), 303)
    if hold.status != "held" or session.seconds_left(hold) <= 0:
        return _expired(hold_id, hold)
    return make_response(_rendered(hold, shown), status)


def _rendered(hold: Hold, shown: dict[str, Any]) -> str:
    show = api().show(hold.show_id)
    session.store_hold(hold, show)
    defaults = {"card": TEST_CARDS[0].token, "key": str(clock.new_id()), "sentence": ""}
    provider = api().payment_provider() if hold.total_cents else None
    cards = TEST_CARDS if provider and provider.takes_test_cards else ()
    variables = defaults | shown | {"hold": hold, "show": show, "cards": cards}
    return render_template("storefront/checkout.html", **variables)


def _expired(hold_id: str, hold: Hold | None) -> Response:
    """The seats are free again, or the show is cancelled."""
    current = session.current_hold()
    stored = current if current and current["hold_id"] == hold_id else {}
    show_id = hold.show_id if hold else stored.get("show_id")
    session.forget_hold(hold_id)
    found = _seat_map_of(show_id)
    body = render_template(
        "storefront/expired.html",
        show_id=show_id,
        seats=hold.seats if hold else stored.get("seats", []),
        cancelled=found is not None and found.cancelled,
        cancel_reason=found.cancel_reason if found else None,
    )
    return make_response(body, HTTPStatus.GONE)


def _seat_map_of(show_id: str | None) -> SeatMap | None:
    """None if it cannot be had: the page does without."""
    if not show_id:
        return None
    try:
        return api().seats(show_id)
    except ApiProblem as problem:
        if problem.is_unauthorized:
            raise
        return None


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
