"""The client library of the ledger: submit entries, propose configurations, and read."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cinesync.chassis import background
from cinesync.pbft.client import PbftClient, RequestOutcome
from cinesync.pbft.execution import ACCEPTED
from cinesync.pbft.messages import Attestation, Configuration
from cinesync.pbft.replica import Send
from cinesync.proofs.keys import KeyRing
from cinesync.validator.home import Home
from cinesync.validator.network import transport
from cinesync.validator.network.query_client import QueryClient
from cinesync.validator.network.transport import FrameKind
from cinesync.validator.state_machine import OPERATIONS_MAX, entry_indices

TICK_SECONDS: Final = 0.025  # after ten of them without replies the request goes to all
IN_FLIGHT_MAX: Final = 8
SEQUENCES_PER_MILLISECOND: Final = 1024
HELLO_TICKS: Final = 40  # between two questions for newer epochs


def first_sequence(reserved: int, milliseconds: int) -> int:
    """A sequence above all that this client used, even if its database or clock was set back."""
    return max(reserved, milliseconds * SEQUENCES_PER_MILLISECOND)


@dataclass(frozen=True)
class Appended:
    """Entries that the log contains, each with its index."""

    height: int
    indices: Sequence[int]
    attestations: Sequence[Attestation] = ()  # for the block at `height`, unverified


class LedgerClient(QueryClient):
    """Call `start_sequences_at` before the first write. Reads work at once."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self._keys = KeyRing([home.key])
        self._pbft = self._writer(1)
        self._outcomes: dict[int, asyncio.Future[RequestOutcome]] = {}
        self._free_slots = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._primary: int | None = None

    async def run(self) -> None:
        """Keep the connections, and resend requests, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._connections.run())
            tasks.create_task(self._tick())

    def start_sequences_at(self, sequence: int) -> None:
        """Use this sequence and those above; none of them may have been used before.

        Earlier requests without an outcome are dropped: their sequences are too old now.
        """
        self._pbft = self._writer(max(self._pbft.next_sequence, sequence))

    def _writer(self, sequence: int) -> PbftClient:
        return PbftClient(self.name, self.configuration, self._keys, sequence, receipts=True)

    async def _tick(self) -> None:
        for ticks in itertools.count():
            await asyncio.sleep(TICK_SECONDS)
            late = self._pbft.tick()
            if late:
                self._primary = None
                self._send(late)
            if ticks % HELLO_TICKS == 0:
                background.succeeded()
            if late or ticks % HELLO_TICKS == 0:
                for connection in self._validators.values():
                    connection.send(self._hello())

    def _on_new_epoch(self) -> None:
        self._primary = None
        self._send(self._pbft.use_configuration(self.configuration))

    async def submit(self, operations: Sequence[bytes]) -> Appended:
        """Append entries. Waits until a quorum replies, however long that takes."""
        assert 1 <= len(operations) <= OPERATIONS_MAX
        async with self._free_slots:
            while self._pbft.window_left <= 0:  # noqa: ASYNC110 rare
                # With one more in flight, the oldest would leave the window of cached replies.
                await asyncio.sleep(TICK_SECONDS)
            outcome = await self._order(tuple(operations))
        if self._primary is None:
            await self._find_primary()
        return Appended(outcome.height, entry_indices(outcome.result), outcome.attestations)

    async def propose(self, wanted: Configuration) -> bool:
        """Order a change of the configuration. True: accepted; it takes effect at a checkpoint."""
        outcome = await self._order((), wanted)
        return outcome.result == ACCEPTED

    async def _order(
        self, operations: tuple[bytes, ...], change: Configuration | None = None
    ) -> RequestOutcome:
        sequence = self._pbft.next_sequence
        future: asyncio.Future[RequestOutcome] = asyncio.get_running_loop().create_future()
        self._outcomes[sequence] = future
        try:
            sends = self._pbft.submit(operations, change)
            self._send([send for send in sends if self._primary in {send.to, None}])
            return await future
        finally:
            self._outcomes.pop(sequence, None)

    async def _find_primary(self) -> None:
        """Send new requests to the primary only. A wrong primary only delays them."""
        primaries = [status.primary for status in (await self.statuses()).values()]
        common = [p for p in primaries if primaries.count(p) >= self.configuration.quorum]
        self._primary = common[0] if common else None

    def _send(self, sends: Sequence[Send]) -> None:
        for send in sends:
            assert isinstance(send.to, int)
            self._connections.send(send.to, transport.pack(FrameKind.CONSENSUS, send.frame))

    def _receive_reply(self, replica: int, body: bytes) -> None:
        outcome = self._pbft.step(replica, body)
        future = self._outcomes.get(outcome.sequence) if outcome else None
        if future is not None and not future.done():
            future.set_result(outcome)  # type: ignore[arg-type]  # a future implies an outcome
