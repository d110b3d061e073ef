"""A PBFT client: it signs batches, waits for f + 1 equal replies, and retries (4.1)."""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from cinesync.pbft import certificates
from cinesync.pbft.messages import (
    CLIENT_WINDOW,
    Attestation,
    Configuration,
    MalformedMessage,
    Reply,
    Request,
    decode,
    encode,
    payload,
)
from cinesync.pbft.ports import Keys
from cinesync.pbft.replica import Send

RETRY_TICKS: Final = 10


@dataclass(slots=True)
class OutstandingRequest:
    request: Request
    since: int
    replies: dict[int, Reply] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    sequence: int
    height: int
    result: bytes
    attestations: tuple[Attestation, ...]  # of one digest; a quorum of them makes a certificate


class PbftClient:
    """Submits requests and collects replies, without IO.

    sequence: the next unused one; the caller stores it before it sends a request.
    receipts: wait for a quorum of equal replies, not f + 1, so that they make a certificate.
    """

    def __init__(
        self,
        name: str,
        configuration: Configuration,
        keys: Keys,
        sequence: int,
        *,
        receipts: bool = False,
    ) -> None:
        self._receipts = receipts
        self.configuration = configuration
        self._name = name
        self._keys = keys
        self.next_sequence = sequence
        self._outstanding: dict[int, OutstandingRequest] = {}
        self._ticks = 0

    @property
    def window_left(self) -> int:
        """How many more requests may be in flight before the oldest is answered."""
        oldest = min(self._outstanding, default=self.next_sequence)
        return CLIENT_WINDOW - (self.next_sequence - oldest)

    @property
    def _replies_needed(self) -> int:
        return self.configuration.quorum if self._receipts else self.configuration.weak_quorum

    def submit(
        self, operations: tuple[bytes, ...], change: Configuration | None = None
    ) -> tuple[Send, ...]:
        """Send a request to all: the primary proposes it and the backups time it."""
        assert self.window_left > 0
        me = self.configuration.client(self._name)
        assert me is not None
        request = Request(self._name, self.next_sequence, operations, change)
        signature = self._keys.sign(me.public_key, payload(request))
        request = msgspec.structs.replace(request, signature=signature)
        self.next_sequence += 1
        self._outstanding[request.sequence] = OutstandingRequest(request, self._ticks)
        return self._to_all(request)

    def _to_all(self, request: Request) -> tuple[Send, ...]:
        frame = encode(request)
        return tuple(Send(v.replica, frame) for v in self.configuration.validators)

    def step(self, sender: int, frame: bytes) -> RequestOutcome | None:
        """The outcome, once enough validators reply alike. Raises MalformedMessage."""
        message = decode(frame)
        if not isinstance(message, Reply) or message.replica != sender:
            raise MalformedMessage("not this validator's reply")
        pending = self._outstanding.get(message.sequence)
        if pending is None or message.client != self._name:
            return None
        if not certificates.signed(self._keys, self.configuration, message):
            return None
        pending.replies[sender] = message
        same = [r for r in pending.replies.values() if _reply_content(r) == _reply_content(message)]
        if len(same) < self._replies_needed:
            return None
        del self._outstanding[message.sequence]
        return RequestOutcome(
            message.sequence,
            message.height,
            message.result,
            tuple(r.attestation for r in same if r.attestation is not None),
        )

    def use_configuration(self, configuration: Configuration) -> tuple[Send, ...]:
        """Follow a change of validators: replies of the old set must not count with the new."""
        self.configuration = configuration
        for pending in self._outstanding.values():
            pending.since = self._ticks
            pending.replies.clear()
        return tuple(
            send for pending in self._outstanding.values() for send in self._to_all(pending.request)
        )

    def tick(self) -> tuple[Send, ...]:
        """Resend the requests that have waited too long."""
        self._ticks += 1
        late = [one for one in self._outstanding.values() if self._ticks - one.since >= RETRY_TICKS]
        for pending in late:
            pending.since = self._ticks
        return tuple(send for pending in late for send in self._to_all(pending.request))


def _reply_content(reply: Reply) -> tuple[int, bytes]:
    return reply.height, reply.result
