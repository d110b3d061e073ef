"""One's own data: all of it in one file, and the end of it."""

import json
from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cinesync.chassis import clock
from cinesync.web import session
from cinesync.web.account.forms import EraseByLinkForm, EraseForm
from cinesync.web.api_client import ApiProblem
from cinesync.web.session import api

blueprint = Blueprint("personal_data", __name__)

NO_STORE = {"Cache-Control": "no-store"}
PAGED = ("booking", "payment", "ledger")
PAGES_MAX = 1_000
SERVER_ERRORS = 500
FORBIDDEN = 403


@blueprint.get("/account/data")
def page() -> Response:
    return _page(EraseForm(formdata=None))


@blueprint.get("/account/data.json")
def download() -> Response:
    """All that every service keeps of the visitor, in one file."""
    token = session.access_token()
    everything: dict[str, Any] = {"made_at": clock.now().isoformat()}
    everything["auth"] = api().own_account(token)
    for service in PAGED:
        everything[service] = _all_pages(service)
    body = json.dumps(everything, indent=2, ensure_ascii=False)
    headers = {
        **NO_STORE,
        "Content-Type": "application/json; charset=utf-8",
        "Content-Disposition": 'attachment; filename="my-cinesync-data.json"',
    }
    return make_response(body, 200, headers)


@blueprint.post("/account/data/erase")
def erase() -> Response:
    """With the password, once more."""
    form = EraseForm()
    if not form.validate():
        return _page(form, status=422)
    try:
        api().erase(session.access_token(), form.password.data)
    except ApiProblem as problem:
        return _page(form, problem)
    return _gone()


@blueprint.post("/account/data/link")
def mail_link() -> Response:
    """For guests, and for who has forgotten their password."""
    me = api().me(session.access_token())
    try:
        api().request_link(me.email, purpose="erase")
    except ApiProblem as problem:
        return _page(EraseForm(formdata=None), problem)
    flash(f"A mail with a link is on its way to {me.email}.", "success")
    return redirect(url_for("personal_data.page"), 303)


@blueprint.get("/account/erase")
def by_link() -> Response:
    """Where the mail leads. Opening it changes nothing; its button does."""
    code = request.args.get("code", "")
    return _link_page(EraseByLinkForm(formdata=None, code=code))


@blueprint.post("/account/erase")
def by_link_now() -> Response:
    form = EraseByLinkForm()
    if not form.validate():
        return _link_page(form, status=422)
    try:
        api().erase_by_link(form.code.data)
    except ApiProblem as problem:
        return _link_page(form, problem)
    return _gone()


def _all_pages(service: str) -> list[Any]:
    """A token lives for minutes: it is looked at again for each page."""
    items: list[Any] = []
    after: str | None = None
    for _ in range(PAGES_MAX):
        found = api().own_data(session.access_token(), service, after)
        items += found.items
        after = found.next
        if after is None:
            return items
    raise ApiProblem(SERVER_ERRORS, "There is more than fits into one file; please write to us.")


def _gone() -> Response:
    session.end()
    flash("It is done: your account and your personal data are erased.", "success")
    return redirect(url_for("browse.home"), 303)


def _page(form: EraseForm, problem: ApiProblem | None = None, status: int = 200) -> Response:
    me = api().me(session.access_token())
    body = render_template(
        "personal_data.html", form=form, me=me, sentence=_told(problem), unfinished=_of(problem)
    )
    return make_response(body, problem.status if problem else status, NO_STORE)


def _link_page(
    form: EraseByLinkForm, problem: ApiProblem | None = None, status: int = 200
) -> Response:
    body = render_template(
        "erase_by_link.html", form=form, sentence=_told(problem), unfinished=_of(problem)
    )
    return make_response(body, problem.status if problem else status, NO_STORE)


def _told(problem: ApiProblem | None) -> str:
    if problem is None:
        return ""
    if problem.status >= SERVER_ERRORS:
        return "This does not work right now, and nothing was erased. Please try again in a moment."
    if problem.status == FORBIDDEN:
        return "This account belongs to your work here; whoever runs the shop can end it."
    return problem.sentence


def _of(problem: ApiProblem | None) -> list[dict[str, Any]]:
    """What stands in the way: bookings by their id, the rest by kind, each once."""
    items = problem.members.get("unfinished", []) if problem else []
    listed: dict[tuple[str, str], dict[str, Any]] = {}
    for item in items if isinstance(items, list) else []:
        listed.setdefault((str(item.get("kind")), str(item.get("booking_id", ""))), item)
    return list(listed.values())
