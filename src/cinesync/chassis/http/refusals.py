"""What a server says to requests that no app sees: a problem to programs, a page to people."""

from html import escape
from http import HTTPStatus

import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cinesync.chassis.problems import Problem, TooMany, Unavailable

PROBLEM_TYPE = "application/problem+json"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_STORE = (b"cache-control", b"no-store")
FRAMES = (b"content-security-policy", b"frame-ancestors 'none'")
# What every answer says, unless it says something else of its own.
PROTECTION = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    FRAMES,
)


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


class Refused(Exception):
    """A request that no app sees: not a Problem, so that none of an app's is taken for it."""

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


async def answer(problem: Problem, send: Send, *, is_for_people: bool) -> None:
    """Say it, and close: what is left of such a request is not worth reading."""
    if is_for_people:
        media_type, body = "text/html; charset=utf-8", _page(problem).encode()
    else:
        media_type, body = PROBLEM_TYPE, msgspec.json.encode(problem.as_dict())
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        NO_STORE,
        *PROTECTION,
    ]
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", ", ".join(sorted(METHODS)).encode()))
    if "retry_after_seconds" in problem.members:
        headers.append((b"retry-after", b"%d" % problem.members["retry_after_seconds"]))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _page(problem: Problem) -> str:
    return _PAGE.format(phrase=HTTPStatus(problem.status).phrase, sentence=escape(problem.title()))


def protected(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, and what keeps it to itself.

    Who says nothing of caching means a private answer; one with an ETag is kept and asked for.
    """
    names = dict(headers)
    added = [pair for pair in PROTECTION if pair[0] not in names]
    if b"cache-control" not in names and b"etag" not in names:
        added.append(NO_STORE)
    return headers + added


class Protected:
    """Around an ASGI app: every answer keeps itself to itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def protected_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = protected(list(message["headers"]))
            await send(message)

        await self._app(scope, receive, protected_send)
