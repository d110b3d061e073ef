"""What ASGI apps share: media types, the body limit, and how to read a header or pass a body on."""

from typing import Any, Final

from litestar.types import Receive, Scope

JSON_TYPE: Final = "application/json"
PROBLEM_TYPE: Final = "application/problem+json"
BODY_BYTES_MAX: Final = 64 * 1024


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that name, which is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


def with_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the whole `body` first, then what `receive` returns."""
    is_sent = False

    async def receive_body() -> Any:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_body
