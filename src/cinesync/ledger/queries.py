"""Reads of the chain for the routes: what f + 1 validators agree on, or what a proof shows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from cinesync.ledger.model import NotThatLarge, StoredProof, UnknownBlock, ValidatorsAway
from cinesync.proofs import canonical_json, headers, merkle_log, receipts
from cinesync.proofs.block_proof import BlockProof
from cinesync.proofs.completeness import CompletenessProof
from cinesync.proofs.receipts import HeaderCertificate, Receipt
from cinesync.validator import certify
from cinesync.validator.network.client import LedgerClient
from cinesync.validator.network.query_client import NoQuorum
from cinesync.validator.network.transport import ValidatorStatus

TRIES_MAX: Final = 5
PAUSE_SECONDS: Final = 0.05


class LedgerQueries:
    """Raises ValidatorsAway when fewer than f + 1 validators answer alike."""

    def __init__(self, client: LedgerClient) -> None:
        self._client = client

    @property
    def genesis(self) -> bytes:
        return self._client.genesis.encode()

    @property
    def chain(self) -> str:
        """The chain's identifier: the hash of its genesis."""
        return self._client.genesis.chain.hex()

    def receipt(self, stored: StoredProof) -> Receipt:
        """Make a receipt from what is stored, without any validator."""
        if stored.receipt is not None:
            return receipts.from_json(canonical_json.load(stored.receipt.encode()), "receipt")
        assert stored.block is not None, "the receipt or the block is stored"
        certificate = receipts.certificate_from_json(
            canonical_json.load(stored.block.certificate.encode()), "certificate"
        )
        header = headers.from_json(canonical_json.load(stored.block.header.encode()), "header")
        block = BlockProof(
            header, merkle_log.split(stored.block.peaks), merkle_log.split(stored.block.leaves)
        )
        links = self._client.epochs.up_to(certificate.epoch)
        if len(links) < certificate.epoch:
            raise ValidatorsAway  # this process has not learnt the newest epochs from them yet
        index = block.index_of(stored.entry)
        return block.receipt(self._client.genesis, links, certificate, stored.entry, index)

    async def statuses(self) -> dict[int, ValidatorStatus | None]:
        """What each validator reports of itself; None: it does not answer."""
        reported = await self._client.statuses()
        known = [validator.replica for validator in self._client.configuration.validators]
        return {replica: reported.get(replica) for replica in known}

    async def height(self) -> int:
        """The highest height that f + 1 validators report: an honest one has it."""
        heights = sorted(one.height for one in (await self._client.statuses()).values())
        if len(heights) < self._client.configuration.weak_quorum:
            raise ValidatorsAway
        return heights[-self._client.configuration.weak_quorum]

    async def headers(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Headers upwards from height `after` + 1."""
        return list(await self._agreed("blocks", after, limit))

    async def block(self, height: int) -> dict[str, Any]:
        """A header and its entries. Raises UnknownBlock."""
        if height > await self.height():
            raise UnknownBlock(f"the chain has no block {height} yet")
        found: dict[str, Any] = await self._agreed("block", height)
        return found

    async def entries(self, booking_id: str) -> Sequence[dict[str, Any]]:
        """The entries of a booking, in the order of the log."""
        return list(await self._agreed("entries", name=booking_id))

    async def completeness(
        self, booking_id: str, known: Callable[[int], Awaitable[HeaderCertificate | None]]
    ) -> CompletenessProof:
        """The completeness proof of a booking. Raises UnknownBlock if there is no block yet."""
        height = await self.height()
        if height == 0:
            raise UnknownBlock
        try:
            return await certify.prove_completeness(self._client, booking_id, height, known)
        except NoQuorum as error:
            raise ValidatorsAway from error

    async def consistency(self, first: int, second: int) -> list[str]:
        """The consistency proof between two sizes. Raises NotThatLarge."""
        height = await self.height()
        size = (await self._agreed("blocks", height - 1, 1))[0]["size"] if height else 0
        if not 0 < first <= second <= size:
            raise NotThatLarge(f"0 < from <= to <= {size}", size=size)
        return list(await self._agreed("consistency", first, second))

    async def _agreed(self, ask: str, first: int = 0, second: int = 0, name: str = "") -> Any:
        """Retry for a short time: some validators may be a few blocks behind."""
        for _ in range(TRIES_MAX):
            found = await self._client.query_agreed(ask, first, second, name)
            if found is not None:
                return found
            await asyncio.sleep(PAUSE_SECONDS)
        raise ValidatorsAway
