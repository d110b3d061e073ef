"""Signing in and out, and what somebody bought."""

from uuid import UUID

import segno
from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask_wtf import FlaskForm
from markupsafe import Markup
from werkzeug.wrappers import Response

from cinesync.chassis import clock
from cinesync.chassis.telemetry import get_logger
from cinesync.web import session
from cinesync.web.account import known_device
from cinesync.web.account.forms import AccountForm, GuestForm, RegisterForm, SignInForm
from cinesync.web.api_client import ApiProblem
from cinesync.web.api_models import Booking
from cinesync.web.security import safe_path
from cinesync.web.session import api
from cinesync.web.storefront.holding import take

log = get_logger(__name__)

blueprint = Blueprint("account", __name__)

BOOKINGS_PER_PAGE = 20
SERVER_ERRORS = 500
RULE_BROKEN = 422


@blueprint.get("/sign-in")
def sign_in() -> Response:
    return _sign_in_page(SignInForm(next=_next()), GuestForm(next=_next()))


@blueprint.post("/sign-in")
def sign_in_now() -> Response:
    form = SignInForm()
    if not form.validate():
        return _sign_in_page(form, GuestForm(formdata=None, next=form.next.data), status=422)
    try:
        return _enter(form.email.data, form.password.data, form.next.data)
    except ApiProblem as problem:
        guest = GuestForm(formdata=None, next=form.next.data)
        return _sign_in_page(form, guest, _told(problem), status=problem.status)


@blueprint.post("/guest")
def guest_now() -> Response:
    form = GuestForm()
    sign_in_form = SignInForm(formdata=None, next=form.next.data)
    if not form.validate():
        return _sign_in_page(sign_in_form, form, status=422)
    try:
        tokens, refresh_token = api().guest(form.email.data)
    except ApiProblem as problem:
        return _sign_in_page(sign_in_form, form, _told(problem), status=problem.status)
    session.start(tokens, refresh_token, guest=True)
    return _go_on(form.next.data)


@blueprint.get("/register")
def register() -> Response:
    return _register_page(RegisterForm(next=_next()))


@blueprint.post("/register")
def register_now() -> Response:
    form = RegisterForm()
    if not form.validate():
        return _register_page(form, status=422)
    who = {"email": form.email.data, "password": form.password.data, "name": form.name.data}
    if form.phone.data:
        who["phone"] = form.phone.data
    try:
        api().register(who)
        return _enter(form.email.data, form.password.data, form.next.data)
    except ApiProblem as problem:
        sentence = _beside_fields(form, problem)
        return _register_page(form, sentence, status=problem.status)


@blueprint.post("/sign-out")
def sign_out() -> Response:
    token, refresh_token = session.tokens()
    session.end()
    try:
        api().log_out(token, refresh_token)
    except ApiProblem as problem:
        # Here the visitor is signed out all the same; the tokens end by themselves.
        log.warning("log_out_failed", status=problem.status, detail=problem.sentence)
    flash("You are signed out.", "success")
    return redirect(url_for("browse.home"), 303)


@blueprint.route("/account", methods=["GET", "POST"])
def profile() -> Response:
    me = api().me(session.access_token())
    form = AccountForm(obj=me)
    sentence, status = "", 200
    if form.validate_on_submit():
        who = {"name": form.name.data} | ({"phone": form.phone.data} if form.phone.data else {})
        try:
            api().change_me(session.access_token(), who)
        except ApiProblem as problem:
            if problem.status >= SERVER_ERRORS or problem.status == 401:  # noqa: PLR2004 RFC 9110
                raise
            sentence, status = _beside_fields(form, problem), problem.status
        else:
            flash("Saved.", "success")
            return redirect(url_for("account.profile"), 303)
    elif form.errors:
        status = 422
    return make_response(
        render_template("account.html", form=form, me=me, sentence=sentence), status
    )


@blueprint.get("/bookings")
def bookings() -> Response:
    filters = {"limit": str(BOOKINGS_PER_PAGE)}
    if after := request.args.get("after"):
        filters["after"] = after
    found = api().bookings(session.access_token(), filters)
    for one in found.items:
        _end_countdown(one)
    return make_response(render_template("bookings.html", bookings=found))


@blueprint.get("/bookings/<uuid:booking_id>")
def booking(booking_id: UUID) -> Response:
    one = api().booking(session.access_token(), str(booking_id))
    _end_countdown(one)
    return make_response(
        render_template("ticket.html", booking=one, code=_code(one), may=_may_cancel(one))
    )


@blueprint.get("/bookings/<uuid:booking_id>/tickets")
def tickets(booking_id: UUID) -> Response:
    """A code for each seat, for those who do not come together."""
    one = api().booking(session.access_token(), str(booking_id))
    found = api().tickets(session.access_token(), str(booking_id))
    codes = [(ticket.seat, _drawn(ticket.ticket)) for ticket in found.items]
    return make_response(render_template("tickets.html", booking=one, codes=codes))


@blueprint.get("/bookings/<uuid:booking_id>/cancel")
def cancel(booking_id: UUID) -> Response:
    one = api().booking(session.access_token(), str(booking_id))
    return make_response(render_template("cancel.html", booking=one, may=_may_cancel(one)))


@blueprint.post("/bookings/<uuid:booking_id>/cancel")
def cancel_now(booking_id: UUID) -> Response:
    seats = request.form.getlist("seat")
    if "choose" in request.form and not seats:
        return _not_cancelled(booking_id, seats, "Choose the seats to give back first.", 422)
    try:
        left = api().cancel(session.access_token(), str(booking_id), seats)
    except ApiProblem as problem:
        if problem.status >= SERVER_ERRORS or problem.status == 401:  # noqa: PLR2004 RFC 9110
            raise
        return _not_cancelled(booking_id, seats, problem.sentence, problem.status)
    if left.status == "confirmed":
        flash(f"{', '.join(seats)} given back. The money is on its way to your card.", "success")
    else:
        flash("Your booking is cancelled. The money is on its way back to your card.", "success")
    return redirect(url_for("account.booking", booking_id=booking_id), 303)


def _not_cancelled(booking_id: UUID, chosen: list[str], sentence: str, status: int) -> Response:
    """The question again with what was chosen; there may be seats that can be given back."""
    one = api().booking(session.access_token(), str(booking_id))
    may = bool(chosen or status == RULE_BROKEN) and len(one.seats) > 1 and _may_cancel(one)
    body = render_template("cancel.html", booking=one, may=may, sentence=sentence, chosen=chosen)
    return make_response(body, status)


def _enter(email: str, password: str, path: str) -> Response:
    tokens, refresh_token, device = api().log_in(email, password, known_device.of_visitor())
    session.start(tokens, refresh_token)
    return known_device.remember(_go_on(path), device)


def _go_on(path: str) -> Response:
    """To the seats chosen before the sign-in, or else to where the visitor wanted to go."""
    if wanted := session.wanted():
        return take(wanted)
    return redirect(safe_path(path), 303)


def _next() -> str:
    return safe_path(request.args.get("next"))


def _beside_fields(form: FlaskForm, problem: ApiProblem) -> str:
    """Put what is wrong beside the fields it is wrong of; the sentence for what is left."""
    wrong = {name: what for name, what in problem.of_fields.items() if name in form}
    for name, what in wrong.items():
        form[name].errors = [*form[name].errors, f"{what[:1].upper()}{what[1:]}"]
    return "" if wrong and wrong == problem.of_fields else _told(problem)


def _told(problem: ApiProblem) -> str:
    if problem.status >= SERVER_ERRORS:
        return "Signing in does not work right now. Please try again in a moment."
    return problem.sentence


def _sign_in_page(
    form: SignInForm, guest: GuestForm, sentence: str = "", status: int = 200
) -> Response:
    body = render_template(
        "sign_in.html", form=form, guest=guest, sentence=sentence, wanted=session.wanted()
    )
    return make_response(body, status)


def _register_page(form: RegisterForm, sentence: str = "", status: int = 200) -> Response:
    body = render_template("register.html", form=form, sentence=sentence, wanted=session.wanted())
    return make_response(body, status)


def _end_countdown(booking: Booking) -> None:
    """A purchase may have ended in another tab, or at the bank."""
    if booking.status != "held":
        session.forget_hold(booking.booking_id)


def _may_cancel(booking: Booking) -> bool:
    """A hint for the page; whether it is still time is the booking service's to say."""
    in_time = booking.cancel_until is None or clock.now() < booking.cancel_until
    return booking.status == "confirmed" and in_time


def _code(booking: Booking) -> Markup | None:
    """The code of all seats."""
    return _drawn(booking.ticket) if booking.ticket else None


def _drawn(ticket: str) -> Markup:
    """A signed ticket as a QR code, black on white whatever the page's colours are."""
    drawn = segno.make(ticket, error="m", micro=False)
    svg = drawn.svg_inline(scale=1, border=4, dark="#000", light="#fff", omitsize=True)
    return Markup(svg)  # noqa: S704 drawn by segno from a token, no text of anyone's in it
