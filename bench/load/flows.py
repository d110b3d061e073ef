"""What one buyer does, request by request."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, overload
from uuid import uuid4  # noqa: TID251 a client makes its own keys

from bench.load.wire import request

ID_CHARS = 36


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where seats are sold, and the paths of its two counters."""

    host: str
    port: int
    holds: str = "/api/booking/holds"
    payments: str = "/api/payment/payments"


class Flow(Protocol):
    """Requests in order; each is made from the answer to the one before."""

    steps: ClassVar[Sequence[str]]

    def begin(self) -> bytes:
        """The first request."""
        ...

    def after(self, step: int, status: int, body: bytes) -> bytes | None:
        """The request that follows the answer to `step`; None when there is no more to do."""
        ...


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request, ready to send."""

    steps: ClassVar[Sequence[str]] = ("get",)
    data: bytes

    def begin(self) -> bytes:
        """As it is."""
        return self.data

    def after(self, step: int, status: int, body: bytes) -> bytes | None:  # noqa: ARG002
        """Nothing."""
        return None


class Round(Sequence[Flow]):
    """The same flows again and again, `count` in all, without a list of them."""

    def __init__(self, flows: Sequence[Flow], count: int) -> None:
        self._flows = flows
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> Flow: ...
    @overload
    def __getitem__(self, at: slice) -> "Round": ...
    def __getitem__(self, at: int | slice) -> "Flow | Round":
        if isinstance(at, slice):
            return Round(self._flows, len(range(*at.indices(self._count))))
        return self._flows[range(self._count)[at] % len(self._flows)]


@dataclass(slots=True)
class Ask:
    """One request whose answer is wanted."""

    steps: ClassVar[Sequence[str]] = ("ask",)
    data: bytes
    answer: bytes = b""

    def begin(self) -> bytes:
        """As it is."""
        return self.data

    def after(self, step: int, status: int, body: bytes) -> bytes | None:  # noqa: ARG002
        """Keep it."""
        self.answer = body
        return None


@dataclass(frozen=True, slots=True)
class Hold:
    """The best seat of a show."""

    steps: ClassVar[Sequence[str]] = ("hold",)
    data: bytes

    def begin(self) -> bytes:
        """As it is."""
        return self.data

    def after(self, step: int, status: int, body: bytes) -> bytes | None:  # noqa: ARG002
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Purchase:
    """Hold, then pay at once; the confirmation comes by itself."""

    steps: ClassVar[Sequence[str]] = ("hold", "pay")
    data: bytes
    payment: tuple[bytes, bytes]

    def begin(self) -> bytes:
        """The hold."""
        return self.data

    def after(self, step: int, status: int, body: bytes) -> bytes | None:
        """The payment, when there is something to pay for."""
        if step or status != 201:
            return None
        before, behind = self.payment
        return before + hold_id(body) + behind


def hold_id(body: bytes) -> bytes:
    """Of a hold's JSON."""
    at = body.find(b'"hold_id":"') + 11
    return body[at : at + ID_CHARS]


def hold(endpoint: Endpoint, token: str, show_id: str) -> Hold:
    """One best seat."""
    body = json.dumps({"show_id": show_id, "best": 1}).encode()
    return Hold(
        request("POST", endpoint.holds, endpoint.host, body, Authorization=f"Bearer {token}")
    )


def purchase(endpoint: Endpoint, token: str, show_id: str) -> Purchase:
    """One best seat, paid with the sandbox bank's good card."""
    body = json.dumps({"hold_id": "?" * ID_CHARS, "provider": "sandbox", "token": "tok_approve"})
    payment = request(
        "POST",
        endpoint.payments,
        endpoint.host,
        body.encode(),
        Authorization=f"Bearer {token}",
        Idempotency_Key=str(uuid4()),
    )
    before, _, behind = payment.partition(b"?" * ID_CHARS)
    return Purchase(hold(endpoint, token, show_id).data, (before, behind))
