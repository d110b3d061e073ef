"""Headers that every response carries: no sniffing, no framing, no caching unless it says so."""

from litestar.types import ASGIApp, Message, Receive, Scope, Send

NO_STORE = (b"cache-control", b"no-store")
FRAME_ANCESTORS = (b"content-security-policy", b"frame-ancestors 'none'")
# A response that sets one of them keeps its own.
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    FRAME_ANCESTORS,
)


def with_security_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """`headers`, and those of SECURITY_HEADERS that are not among them.

    A response with neither Cache-Control nor ETag is private: it gets `no-store`.
    """
    names = dict(headers)
    added = [pair for pair in SECURITY_HEADERS if pair[0] not in names]
    if b"cache-control" not in names and b"etag" not in names:
        added.append(NO_STORE)
    return headers + added


class SecurityHeaders:
    """Around an ASGI app: adds the security headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_security_headers(list(message["headers"]))
            await send(message)

        await self._app(scope, receive, send_with_headers)
