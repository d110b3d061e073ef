"""Errors as HTTP responses: problem details (RFC 9457) for whatever a handler raises."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from cinesync.chassis import telemetry
from cinesync.chassis.database import sqlstate
from cinesync.chassis.http import strict_bodies
from cinesync.chassis.http.asgi import PROBLEM_TYPE
from cinesync.chassis.problems import Invalid, Problem

log = telemetry.get_logger(__name__)

NOT_TEXT_STATES = frozenset({"22021", "22P05"})


class UnsupportedBody(Problem):
    """The body is of a kind we do not read."""

    status = 415


class Unreadable(Problem):
    """The body cannot be read as JSON."""


class InternalError(Problem):
    """Something broke on our side; it has been noted."""

    status = 500

    @classmethod
    def type_uri(cls) -> str:
        """Nothing more is known about it (RFC 9457 section 4.2.1)."""
        return "about:blank"


def problem_of(error: Exception, path: str) -> Problem:
    """What a client may know of an error. An unexpected one is logged."""
    if isinstance(error, Problem):
        return error
    if sqlstate(error) in NOT_TEXT_STATES:
        return Invalid("A text may not contain the character NUL.")
    log.error("http.crashed", path=path, exc_info=error)
    return InternalError(trace_id=telemetry.trace_id(telemetry.current_trace()))


def problem_headers(problem: Problem) -> dict[str, str]:
    """The headers that its status asks for."""
    headers = {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if "retry_after_seconds" in problem.members:
        headers["retry-after"] = str(problem.members["retry_after_seconds"])
    return headers


def problem_response(problem: Problem) -> Response[bytes]:
    """RFC 9457 over HTTP."""
    return Response(
        msgspec.json.encode(problem.as_dict()),
        status_code=problem.status,
        media_type=PROBLEM_TYPE,
        headers=problem_headers(problem),
    )


def _on_problem(_request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    return problem_response(problem)


def _on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if isinstance(error, ValidationException):
        fields = [_field(e) for e in error.extra] if isinstance(error.extra, list) else []
        if unknown := strict_bodies.unknown_member(fields):
            return problem_response(unknown)
        detail = "; ".join(f"{field['key']}: {field['message']}" for field in fields)
        return problem_response(Invalid(detail or error.detail, errors=fields))
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _on_unexpected(request, error)
    status = HTTPStatus(error.status_code)
    body = {"type": "about:blank", "title": status.phrase, "status": status.value}
    if error.detail and error.detail != status.phrase:
        body["detail"] = error.detail
    return Response(
        msgspec.json.encode(body),
        status_code=status.value,
        media_type=PROBLEM_TYPE,
        headers=error.headers,
    )


def _field(error: dict[str, Any]) -> dict[str, Any]:
    """Litestar calls the body `data`, and a missing one `'data'`."""
    key, message = error.get("key", "data"), error["message"]
    return error | {
        "key": "body" if key == "data" else key,
        "message": "is missing" if message == repr(key) else message,
    }


def _on_unreadable(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Bytes that are not UTF-8, and JSON nested too deep: the decoder has no error for these."""
    log.warning("http.unreadable", reason=type(error).__name__)
    return problem_response(Unreadable())


def _on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return problem_response(problem_of(error, request.url.path))


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    Problem: _on_problem,
    HTTPException: _on_http_exception,
    UnicodeDecodeError: _on_unreadable,
    RecursionError: _on_unreadable,
    Exception: _on_unexpected,
}
