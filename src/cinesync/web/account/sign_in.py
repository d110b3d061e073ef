"""Signing in and out, as a customer or a guest, and registering."""

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cinesync.chassis.telemetry import get_logger
from cinesync.web import session
from cinesync.web.account import known_device
from cinesync.web.account.forms import GuestForm, RegisterForm, SignInForm, show_field_errors
from cinesync.web.api_client import ApiProblem
from cinesync.web.security import safe_path
from cinesync.web.session import api
from cinesync.web.storefront.holds import hold_seats

log = get_logger(__name__)


def sign_in() -> Response:
    return _sign_in_page(SignInForm(next=_next()), GuestForm(next=_next()))


def sign_in_now() -> Response:
    form = SignInForm()
    if not form.validate():
        return _sign_in_page(form, GuestForm(formdata=None, next=form.next.data), status=422)
    try:
        return _start_session(form.email.data, form.password.data, form.next.data)
    except ApiProblem as problem:
        guest = GuestForm(formdata=None, next=form.next.data)
        return _sign_in_page(form, guest, _sentence(problem), status=problem.status)


def guest_now() -> Response:
    form = GuestForm()
    sign_in_form = SignInForm(formdata=None, next=form.next.data)
    if not form.validate():
        return _sign_in_page(sign_in_form, form, status=422)
    try:
        tokens, refresh_token = api().guest(form.email.data)
    except ApiProblem as problem:
        return _sign_in_page(sign_in_form, form, _sentence(problem), status=problem.status)
    session.start(tokens, refresh_token, guest=True)
    return _continue(form.next.data)


def register() -> Response:
    return _register_page(RegisterForm(next=_next()))


def register_now() -> Response:
    form = RegisterForm()
    if not form.validate():
        return _register_page(form, status=422)
    customer = {"email": form.email.data, "password": form.password.data, "name": form.name.data}
    if form.phone.data:
        customer["phone"] = form.phone.data
    try:
        api().register(customer)
        return _start_session(form.email.data, form.password.data, form.next.data)
    except ApiProblem as problem:
        other = show_field_errors(form, problem)
        sentence = _sentence(problem) if other else ""
        return _register_page(form, sentence, status=problem.status)


def sign_out() -> Response:
    token, refresh_token = session.tokens()
    session.end()
    try:
        api().log_out(token, refresh_token)
    except ApiProblem as problem:
        # The cookie is gone all the same; the tokens expire.
        log.warning("log_out_failed", status=problem.status, detail=problem.sentence)
    flash("You are signed out.", "success")
    return redirect(url_for("storefront.home"), 303)


def _start_session(email: str, password: str, path: str) -> Response:
    tokens, refresh_token, device = api().log_in(email, password, known_device.of_visitor())
    session.start(tokens, refresh_token)
    return known_device.remember(_continue(path), device)


def _continue(path: str) -> Response:
    """Hold the seats chosen before the sign-in, or else go to `path`."""
    if hold_request := session.deferred_hold():
        return hold_seats(hold_request)
    return redirect(safe_path(path), 303)


def _next() -> str:
    return safe_path(request.args.get("next"))


def _sentence(problem: ApiProblem) -> str:
    if problem.is_server_error:
        return "Signing in does not work right now. Please try again in a moment."
    return problem.sentence


def _sign_in_page(
    form: SignInForm, guest: GuestForm, sentence: str = "", status: int = 200
) -> Response:
    body = render_template(
        "account/sign_in.html",
        form=form,
        guest=guest,
        sentence=sentence,
        hold_request=session.deferred_hold(),
    )
    return make_response(body, status)


def _register_page(form: RegisterForm, sentence: str = "", status: int = 200) -> Response:
    body = render_template(
        "account/register.html",
        form=form,
        sentence=sentence,
        hold_request=session.deferred_hold(),
    )
    return make_response(body, status)
