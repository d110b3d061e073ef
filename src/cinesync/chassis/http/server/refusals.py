"""Responses to requests that no app sees: a problem for programs, a page for people."""

from html import escape
from http import HTTPStatus

import msgspec
from litestar.types import Send

from cinesync.chassis.http.asgi import PROBLEM_TYPE
from cinesync.chassis.http.security.response_headers import NO_STORE, SECURITY_HEADERS
from cinesync.chassis.problems import Problem, TooMany, Unavailable

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HeadersTooLarge(Problem):
    """The headers of this request are larger than 32 KB. Deleting this site's cookies may help."""

    status = 431


class TargetTooLong(Problem):
    """The address of this request is longer than 8 KB."""

    status = 414


class MethodUnknown(Problem):
    """We do not know this method."""

    status = 405


class HostUnclear(Problem):
    """A request names the host that it is for, once, in a Host header."""


class HostNotOurs(Problem):
    """This shop does not go by that name. Its operator can add it to HOSTS."""

    status = 421


class PathUnclear(Problem):
    """The path has control characters in it, or bytes that are no UTF-8."""


class BodyTooLarge(Problem):
    """The body of this request is larger than we accept."""

    status = 413


class BodyTooSlow(Problem):
    """The body of this request took too long to arrive. Please try again."""

    status = 408


class BodyBroken(Problem):
    """The body of this request ended early, or its chunks are malformed."""


class TooManyFromHere(TooMany):
    """Too many requests are in progress from your address. Please try again in a moment."""


class TooManyInProgress(Unavailable):
    """The shop is as busy as it can be. Please try again in a moment."""


class RequestRefused(Exception):
    """The guard refuses a request. Not a Problem: no handler of an app's problems catches it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{phrase}</title>
<h1>{phrase}</h1>
<p>{sentence}</p>
<p><a href="/">To the shop</a></p>
</html>
"""


async def respond(problem: Problem, send: Send, *, is_for_people: bool) -> None:
    """Send the response and close the connection: the rest of the request is not read."""
    if is_for_people:
        media_type, body = "text/html; charset=utf-8", _page(problem).encode()
    else:
        media_type, body = PROBLEM_TYPE, msgspec.json.encode(problem.as_dict())
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        NO_STORE,
        *SECURITY_HEADERS,
    ]
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", ", ".join(sorted(METHODS)).encode()))
    if "retry_after_seconds" in problem.members:
        headers.append((b"retry-after", b"%d" % problem.members["retry_after_seconds"]))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _page(problem: Problem) -> str:
    return _PAGE.format(phrase=HTTPStatus(problem.status).phrase, sentence=escape(problem.title()))
