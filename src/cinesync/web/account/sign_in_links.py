"""Signing in by a mailed link, with a new password if the old one is forgotten.

Opening the link uses nothing up, because mail scanners open links, too. A button on its page does.
"""

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cinesync.web import session
from cinesync.web.account import known_device
from cinesync.web.account.forms import LinkForm, LinkUseForm, show_field_errors
from cinesync.web.api_client import ApiProblem
from cinesync.web.session import api

NO_STORE = {"Cache-Control": "no-store"}


def sign_in_link() -> Response:
    """With a code, the page with its button; without one, the form to request a link."""
    code = request.args.get("code", "")
    if code:
        return _use_page(LinkUseForm(formdata=None, code=code))
    return _request_page(LinkForm(formdata=None))


def request_sign_in_link() -> Response:
    form = LinkForm()
    if not form.validate():
        return _request_page(form, status=422)
    try:
        api().request_link(form.email.data)
    except ApiProblem as problem:
        return _request_page(form, _sentence(problem), status=problem.status)
    return make_response(render_template("account/request_link.html", sent_to=form.email.data))


def use_sign_in_link() -> Response:
    form = LinkUseForm()
    if not form.validate():
        return _use_page(form, status=422)
    try:
        tokens, refresh_token, device = api().use_link(
            form.code.data, form.password.data or None, known_device.of_visitor()
        )
    except ApiProblem as problem:
        sentence = _sentence(problem) if show_field_errors(form, problem) else ""
        return _use_page(form, sentence, status=problem.status)
    is_guest = api().me(tokens.access_token).role == "guest"
    session.start(tokens, refresh_token, guest=is_guest)
    if form.password.data:
        flash("Your new password is set. You are signed out everywhere else.", "success")
    path = url_for("account.bookings") if is_guest else url_for("account.profile")
    return known_device.remember(redirect(path, 303), device)


def _request_page(form: LinkForm, sentence: str = "", status: int = 200) -> Response:
    body = render_template("account/request_link.html", form=form, sentence=sentence)
    return make_response(body, status)


def _use_page(form: LinkUseForm, sentence: str = "", status: int = 200) -> Response:
    body = render_template("account/use_link.html", form=form, sentence=sentence)
    return make_response(body, status, NO_STORE)


def _sentence(problem: ApiProblem) -> str:
    if problem.is_server_error:
        return "This does not work right now. Please try again in a moment."
    return problem.sentence
