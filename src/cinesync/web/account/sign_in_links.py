"""Signing in by a mailed link, and a new password for one that is forgotten.

Opening the link changes nothing: programs that look into mails open links too. A button uses it.
"""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cinesync.web import session
from cinesync.web.account import known_device
from cinesync.web.account.forms import LinkForm, LinkUseForm
from cinesync.web.api_client import ApiProblem
from cinesync.web.session import api

blueprint = Blueprint("sign_in_links", __name__)

NO_STORE = {"Cache-Control": "no-store"}
SERVER_ERRORS = 500


@blueprint.get("/sign-in/link")
def link() -> Response:
    """With a code, the button that uses it; without one, where a link is asked for."""
    code = request.args.get("code", "")
    if code:
        return _use_page(LinkUseForm(formdata=None, code=code))
    return _ask_page(LinkForm(formdata=None))


@blueprint.post("/sign-in/link")
def ask() -> Response:
    form = LinkForm()
    if not form.validate():
        return _ask_page(form, status=422)
    try:
        api().request_link(form.email.data)
    except ApiProblem as problem:
        return _ask_page(form, _told(problem), status=problem.status)
    return make_response(render_template("link.html", asked_for=form.email.data))


@blueprint.post("/sign-in/link/use")
def use() -> Response:
    form = LinkUseForm()
    if not form.validate():
        return _use_page(form, status=422)
    try:
        tokens, refresh_token, device = api().use_link(
            form.code.data, form.password.data or None, known_device.of_visitor()
        )
    except ApiProblem as problem:
        return _use_page(form, _told(problem), status=problem.status)
    is_guest = api().me(tokens.access_token).role == "guest"
    session.start(tokens, refresh_token, guest=is_guest)
    if form.password.data:
        flash(
            "Your new password is set. Wherever else you were signed in, you are not any more.",
            "success",
        )
    where = url_for("account.bookings") if is_guest else url_for("account.profile")
    return known_device.remember(redirect(where, 303), device)


def _ask_page(form: LinkForm, sentence: str = "", status: int = 200) -> Response:
    body = render_template("link.html", form=form, sentence=sentence)
    return make_response(body, status)


def _use_page(form: LinkUseForm, sentence: str = "", status: int = 200) -> Response:
    body = render_template("link_use.html", form=form, sentence=sentence)
    return make_response(body, status, NO_STORE)


def _told(problem: ApiProblem) -> str:
    if problem.status >= SERVER_ERRORS:
        return "This does not work right now. Please try again in a moment."
    return problem.sentence
