"""The session table: it makes sure that each request is applied at most once (4.1)."""

from collections.abc import Iterable

from cinesync.pbft.messages import CLIENT_WINDOW, Cached, ClientSession, Request, digest


class SessionTable:
    """The last CLIENT_WINDOW replies per client; anything older counts as applied.

    A client may have that many requests in flight, and they may be ordered in any order. The
    table is part of the replicated state: checkpoints cover its digest.
    """

    def __init__(self, sessions: Iterable[ClientSession] = ()) -> None:
        self._replies = {
            session.client: {cached.sequence: cached for cached in session.replies}
            for session in sessions
        }

    def __contains__(self, name: str) -> bool:
        return name in self._replies

    def __len__(self) -> int:
        return len(self._replies)

    def is_new(self, request: Request) -> bool:
        replies = self._replies.get(request.client)
        if not replies:
            return True
        oldest = max(replies) - CLIENT_WINDOW
        return request.sequence > oldest and request.sequence not in replies

    def cached(self, request: Request) -> Cached | None:
        return self._replies.get(request.client, {}).get(request.sequence)

    def remember(self, client: str, cached: Cached) -> None:
        replies = self._replies.setdefault(client, {})
        replies[cached.sequence] = cached
        oldest = max(replies) - CLIENT_WINDOW
        for sequence in [sequence for sequence in replies if sequence <= oldest]:
            del replies[sequence]

    def freeze(self) -> tuple[ClientSession, ...]:
        return tuple(
            ClientSession(client, tuple(replies[sequence] for sequence in sorted(replies)))
            for client, replies in sorted(self._replies.items())
        )


def sessions_digest(sessions: tuple[ClientSession, ...]) -> bytes:
    return digest(sessions)
