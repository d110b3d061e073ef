"""The customer's bookings, tickets and cancellations."""

from uuid import UUID

import segno
from flask import flash, make_response, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from cinesync.chassis import clock
from cinesync.web import session
from cinesync.web.api_client import ApiProblem
from cinesync.web.api_models import Booking
from cinesync.web.session import api

BOOKINGS_PER_PAGE = 20


def bookings() -> Response:
    filters = {"limit": str(BOOKINGS_PER_PAGE)}
    if after := request.args.get("after"):
        filters["after"] = after
    found = api().bookings(session.access_token(), filters)
    for one in found.items:
        _forget_hold(one)
    return make_response(render_template("account/bookings.html", bookings=found))


def booking(booking_id: UUID) -> Response:
    found = _find(booking_id)
    _forget_hold(found)
    code = _qr_code(found.ticket) if found.ticket else None
    body = render_template(
        "account/booking.html", booking=found, code=code, may_cancel=_may_cancel(found)
    )
    return make_response(body)


def tickets(booking_id: UUID) -> Response:
    """A QR code for each seat."""
    found = api().tickets(session.access_token(), str(booking_id)).items
    codes = [(ticket.seat, _qr_code(ticket.ticket)) for ticket in found]
    body = render_template("account/tickets.html", booking=_find(booking_id), codes=codes)
    return make_response(body)


def cancel(booking_id: UUID) -> Response:
    found = _find(booking_id)
    body = render_template("account/cancel.html", booking=found, may_cancel=_may_cancel(found))
    return make_response(body)


def cancel_now(booking_id: UUID) -> Response:
    seats = request.form.getlist("seat")
    if "choose" in request.form and not seats:
        return _not_cancelled(booking_id, seats, "Choose the seats to cancel first.", 422)
    try:
        left = api().cancel(session.access_token(), str(booking_id), seats)
    except ApiProblem as problem:
        if problem.is_server_error or problem.is_unauthorized:
            raise
        return _not_cancelled(booking_id, seats, problem.sentence, problem.status)
    if left.status == "confirmed":
        flash(f"Cancelled: {', '.join(seats)}. The refund is on its way to your card.", "success")
    else:
        flash("Your booking is cancelled. The refund is on its way to your card.", "success")
    return redirect(url_for("account.booking", booking_id=booking_id), 303)


def _not_cancelled(booking_id: UUID, chosen: list[str], sentence: str, status: int) -> Response:
    """The form again, if other seats may still be cancelled."""
    found = _find(booking_id)
    is_retryable = bool(chosen or status == 422) and len(found.seats) > 1  # noqa: PLR2004 RFC 9110
    body = render_template(
        "account/cancel.html",
        booking=found,
        may_cancel=is_retryable and _may_cancel(found),
        sentence=sentence,
        chosen=chosen,
    )
    return make_response(body, status)


def _find(booking_id: UUID) -> Booking:
    return api().booking(session.access_token(), str(booking_id))


def _forget_hold(booking: Booking) -> None:
    """The purchase may have ended in another tab, or at the bank."""
    if booking.status != "held":
        session.forget_hold(booking.booking_id)


def _may_cancel(booking: Booking) -> bool:
    """What the page offers; booking decides."""
    in_time = booking.cancel_until is None or clock.now() < booking.cancel_until
    return booking.status == "confirmed" and in_time


def _qr_code(ticket: str) -> Markup:
    """Black on white in every colour theme."""
    code = segno.make(ticket, error="m", micro=False)
    svg = code.svg_inline(scale=1, border=4, dark="#000", light="#fff", omitsize=True)
    return Markup(svg)  # noqa: S704 segno draws it from a token; no text of a visitor is in it
