"""The customer's personal data: download it, or erase it with the account."""

import json
from http import HTTPStatus
from typing import Any

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from cinesync.chassis import clock
from cinesync.web import session
from cinesync.web.account.forms import EraseByLinkForm, EraseForm
from cinesync.web.api_client import ApiProblem
from cinesync.web.session import api

NO_STORE = {"Cache-Control": "no-store"}
SERVICES = ("booking", "payment", "ledger")
PAGES_MAX = 1_000


def personal_data() -> Response:
    return _page(EraseForm(formdata=None))


def download_personal_data() -> Response:
    """All data that the services store about the customer, in one file."""
    token = session.access_token()
    everything: dict[str, Any] = {"made_at": clock.now().isoformat()}
    everything["auth"] = api().own_account(token)
    for service in SERVICES:
        everything[service] = _all_pages(service)
    body = json.dumps(everything, indent=2, ensure_ascii=False)
    headers = {
        **NO_STORE,
        "Content-Type": "application/json; charset=utf-8",
        "Content-Disposition": 'attachment; filename="my-cinesync-data.json"',
    }
    return make_response(body, 200, headers)


def erase() -> Response:
    """Needs the password."""
    form = EraseForm()
    if not form.validate():
        return _page(form, status=422)
    try:
        api().erase(session.access_token(), form.password.data)
    except ApiProblem as problem:
        return _page(form, problem)
    return _erased()


def mail_erasure_link() -> Response:
    """For guests, and for customers who forgot their password."""
    customer = api().me(session.access_token())
    try:
        api().request_link(customer.email, purpose="erase")
    except ApiProblem as problem:
        return _page(EraseForm(formdata=None), problem)
    flash(f"We have sent a link to {customer.email}.", "success")
    return redirect(url_for("account.personal_data"), 303)


def confirm_erasure() -> Response:
    """The page that the mail links to. Opening it erases nothing; its button does."""
    code = request.args.get("code", "")
    return _link_page(EraseByLinkForm(formdata=None, code=code))


def erase_by_link() -> Response:
    form = EraseByLinkForm()
    if not form.validate():
        return _link_page(form, status=422)
    try:
        api().erase_by_link(form.code.data)
    except ApiProblem as problem:
        return _link_page(form, problem)
    return _erased()


def _all_pages(service: str) -> list[Any]:
    """Each request renews the access token if it is about to expire."""
    items: list[Any] = []
    after: str | None = None
    for _ in range(PAGES_MAX):
        found = api().own_data(session.access_token(), service, after)
        items += found.items
        after = found.next
        if after is None:
            return items
    raise ApiProblem(500, "There is more than fits into one file; please write to us.")


def _erased() -> Response:
    session.end()
    flash("Your account and your personal data are erased.", "success")
    return redirect(url_for("storefront.home"), 303)


def _page(form: EraseForm, problem: ApiProblem | None = None, status: int = 200) -> Response:
    body = render_template(
        "account/personal_data.html",
        form=form,
        customer=api().me(session.access_token()),
        sentence=_sentence(problem),
        unfinished=_unfinished(problem),
    )
    return make_response(body, problem.status if problem else status, NO_STORE)


def _link_page(
    form: EraseByLinkForm, problem: ApiProblem | None = None, status: int = 200
) -> Response:
    body = render_template(
        "account/erase_by_link.html",
        form=form,
        sentence=_sentence(problem),
        unfinished=_unfinished(problem),
    )
    return make_response(body, problem.status if problem else status, NO_STORE)


def _sentence(problem: ApiProblem | None) -> str:
    if problem is None:
        return ""
    if problem.is_server_error:
        return "This does not work right now, and nothing was erased. Please try again in a moment."
    if problem.status == HTTPStatus.FORBIDDEN:
        return "This is a staff account. Whoever runs the shop can close it."
    return problem.sentence


def _unfinished(problem: ApiProblem | None) -> list[dict[str, Any]]:
    """What prevents the erasure: each booking once, everything else once by kind."""
    items = problem.members.get("unfinished", []) if problem else []
    listed: dict[tuple[str, str], dict[str, Any]] = {}
    for item in items if isinstance(items, list) else []:
        listed.setdefault((str(item.get("kind")), str(item.get("booking_id", ""))), item)
    return list(listed.values())
