"""A few buyers among the many who keep looking: is it confirmed, is it in the ledger?"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.load import flows
from bench.load.caller import Answer, Caller
from bench.load.flows import Purchase, hold_id
from bench.load.latency import summarise
from bench.load.wire import request
from bench.system import System

LOOK_SECONDS = 0.03
LOOK_AT_LEDGER_SECONDS = 0.1
WAIT_SECONDS_MAX = 60.0

now = time.perf_counter


@dataclass(slots=True)
class Seen:
    """Seconds from the payment's answer until it was seen."""

    confirmed: list[float] = field(default_factory=list)
    in_ledger: list[float] = field(default_factory=list)
    never: int = 0

    def summary(self) -> dict[str, Any]:
        """As JSON wants it."""
        found = {"confirmed": summarise(self.confirmed), "in_ledger": summarise(self.in_ledger)}
        return {"never": self.never} | {
            name: asdict(latency) if latency else None for name, latency in found.items()
        }


async def probe(system: System, shows: Sequence[str], rate: float, seconds: float) -> Seen:
    """`rate` probes a second."""
    count = max(int(rate * seconds), 1)
    tokens = await system.guests(count)
    seen = Seen()
    async with asyncio.TaskGroup() as probes:
        for number, token in enumerate(tokens):
            buyer = flows.purchase(system.endpoint, token, shows[number % len(shows)])
            probes.create_task(_buy(system, buyer, token, seen))
            await asyncio.sleep(1 / rate)
    return seen


async def _buy(system: System, buyer: Purchase, token: str, seen: Seen) -> None:
    caller = await Caller.connect(system.endpoint)
    try:
        held = await caller.call(buyer.begin())
        payment = buyer.after(0, held.status, held.body)
        if payment is None or (await caller.call(payment)).status != 201:
            seen.never += 1
            return
        paid_at, booking_id = now(), hold_id(held.body).decode()
        await _watch(system, caller, booking_id, token, paid_at, seen)
    except (ConnectionResetError, TimeoutError):
        seen.never += 1
    finally:
        caller.close()


async def _watch(
    system: System, caller: Caller, booking_id: str, token: str, paid_at: float, seen: Seen
) -> None:
    path, host = f"/api/booking/bookings/{booking_id}", system.endpoint.host
    booking = request("GET", path, host, Authorization=f"Bearer {token}")
    await _until(caller, booking, LOOK_SECONDS, _is_confirmed)
    seen.confirmed.append(now() - paid_at)
    entries = request("GET", f"/api/ledger/entries?booking_id={booking_id}", host)
    await _until(caller, entries, LOOK_AT_LEDGER_SECONDS, _has_booking)
    seen.in_ledger.append(now() - paid_at)


async def _until(
    caller: Caller, question: bytes, pause_seconds: float, is_so: Callable[[Answer], bool]
) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not is_so(await caller.call(question)):  # noqa: ASYNC110 one asks over HTTP
            await asyncio.sleep(pause_seconds)


def _is_confirmed(answer: Answer) -> bool:
    return answer.status == 200 and b'"status":"confirmed"' in answer.body


def _has_booking(answer: Answer) -> bool:
    return answer.status == 200 and b"booking.confirmed" in answer.body
