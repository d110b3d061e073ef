"""Error pages: what happened, and where to go next."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, make_response, redirect, render_template, request, url_for
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from cinesync.chassis.telemetry import get_logger
from cinesync.web import session
from cinesync.web.api_client import UNREADABLE_RESPONSE, ApiProblem
from cinesync.web.security import safe_path

log = get_logger(__name__)

MESSAGES = {
    400: (
        "We did not understand that",
        "Something in the address or the form is wrong.",
    ),
    401: ("Please sign in", "This page is for its owner only."),
    403: ("You cannot see this page", "It belongs to another account."),
    404: ("Page not found", "This page does not exist, or no longer exists."),
    405: ("That does not work here", "This address cannot be used that way."),
    413: ("Too large", "The form is larger than we accept."),
    429: ("Too many requests", "Please wait a moment and try again."),
    500: ("That was our fault", "Something broke on our side. We have logged it."),
    502: ("That was our fault", UNREADABLE_RESPONSE),
    503: ("Back in a moment", "One of our systems does not answer. Nothing is lost."),
}
FALLBACK_PAGE = """<!doctype html><html lang="en"><title>CineSync</title>
<h1>That was our fault</h1>
<p>Something broke on our side. <a href="/">To the movies</a></p></html>"""
RETRY_AFTER_SECONDS = 5


def install(app: Flask) -> None:
    app.register_error_handler(session.SignInNeeded, _sign_in)
    app.register_error_handler(ApiProblem, _api_problem)
    app.register_error_handler(CSRFError, _expired_form)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def page(status: int, detail: str = "") -> Response:
    """The error page of a status; `detail` replaces its usual sentence."""
    usual = MESSAGES[500 if status >= HTTPStatus.INTERNAL_SERVER_ERROR else 400]
    heading, sentence = MESSAGES.get(status, usual)
    shown: dict[str, Any] = {"heading": heading, "sentence": detail or sentence}
    again = request.full_path.rstrip("?") if request.method == "GET" else _referring_path()
    retry = status in {429, 500, 502, 503}
    response = make_response(
        render_template("error.html", **shown, status=status, again=again if retry else None)
    )
    response.status_code = status
    if status in {429, 503}:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _sign_in(_: Exception) -> BaseResponse:
    here = request.full_path.rstrip("?") if request.method == "GET" else _referring_path()
    return redirect(url_for("account.sign_in", next=here), 303)


def _api_problem(problem: ApiProblem) -> BaseResponse:
    if problem.is_unauthorized:
        session.forget_sign_in()
        return _sign_in(problem)
    if problem.is_server_error:
        log.warning("api_problem", status=problem.status, detail=problem.sentence)
        return page(problem.status if problem.status in MESSAGES else 502)
    is_missing = problem.status == HTTPStatus.NOT_FOUND
    return page(problem.status, "" if is_missing else problem.sentence)


def _expired_form(_: Exception) -> Response:
    return page(400, "This form has expired. Go back, reload the page and send it again.")


def _http_error(error: HTTPException) -> Response:
    return page(error.code or 500)


def _unexpected(error: Exception) -> Response:
    log.error("page_failed", path=request.path, exc_info=error)
    try:
        return page(500)
    except Exception:  # perhaps the base template is broken
        log.exception("error_page_failed")
        return Response(FALLBACK_PAGE, 500)


def _referring_path() -> str:
    """The page with the form, if it is ours."""
    referrer = urlsplit(request.referrer or "")
    query = f"?{referrer.query}" if referrer.query else ""
    return safe_path(referrer.path + query)
