"""Every error is a sentence and a way on."""

from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, make_response, redirect, render_template, request, url_for
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from cinesync.chassis.telemetry import get_logger
from cinesync.web import session
from cinesync.web.api_client import ApiProblem
from cinesync.web.security import safe_path

log = get_logger(__name__)

SENTENCES = {
    400: (
        "We did not understand that",
        "Something in the address or the form is not as it should be.",
    ),
    401: ("Please sign in", "This page belongs to somebody."),
    403: ("This is not yours to see", "The page belongs to another account."),
    404: ("Nothing here", "This page does not exist, or not any more."),
    405: ("That does not work here", "This address cannot be used that way."),
    413: ("Too much at once", "The form is larger than we accept."),
    429: ("A little too fast", "Please wait a moment and try again."),
    500: ("That was our fault", "Something broke on our side. We have a record of it."),
    502: ("That was our fault", "One of our systems gave an answer we do not understand."),
    503: ("Back in a moment", "One of our systems is not answering. Nothing you did is lost."),
}
LAST_RESORT = """<!doctype html><html lang="en"><title>CineSync</title>
<h1>That was our fault</h1>
<p>Something broke on our side. <a href="/">To the movies</a></p></html>"""
RETRY_AFTER_SECONDS = 5
SERVER_ERRORS = 500


def install(app: Flask) -> None:
    app.register_error_handler(session.SignInNeeded, _sign_in)
    app.register_error_handler(ApiProblem, _api_problem)
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _bug)


def page(status: int, detail: str = "") -> Response:
    """The error page: what happened, and where to go on."""
    heading, sentence = SENTENCES.get(status, SENTENCES[500 if status >= SERVER_ERRORS else 400])
    shown: dict[str, Any] = {"heading": heading, "sentence": detail or sentence}
    again = request.full_path.rstrip("?") if request.method == "GET" else _came_from()
    retry = status in {429, 500, 502, 503}
    response = make_response(
        render_template("error.html", **shown, status=status, again=again if retry else None)
    )
    response.status_code = status
    if status in {429, 503}:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _sign_in(_: Exception) -> BaseResponse:
    here = request.full_path.rstrip("?") if request.method == "GET" else _came_from()
    return redirect(url_for("account.sign_in", next=here), 303)


def _api_problem(problem: ApiProblem) -> BaseResponse:
    if problem.status == 401:  # noqa: PLR2004 RFC 9110
        session.forget_sign_in()
        return _sign_in(problem)
    if problem.status >= SERVER_ERRORS:
        log.warning("api_problem", status=problem.status, detail=problem.sentence)
        return page(problem.status if problem.status in SENTENCES else 502)
    return page(problem.status, "" if problem.status == 404 else problem.sentence)  # noqa: PLR2004


def _stale_form(_: Exception) -> Response:
    return page(
        400, "This form has become too old. Go back, load the page anew, and send it again."
    )


def _http_error(error: HTTPException) -> Response:
    return page(error.code or 500)


def _bug(error: Exception) -> Response:
    log.error("page_failed", path=request.path, exc_info=error)
    try:
        return page(500)
    except Exception:  # the frame of all pages may be what is broken
        log.exception("error_page_failed")
        return Response(LAST_RESORT, 500)


def _came_from() -> str:
    """The page that held the form, if it was ours."""
    referrer = urlsplit(request.referrer or "")
    query = f"?{referrer.query}" if referrer.query else ""
    return safe_path(referrer.path + query)
