"""Reads for the HTTP door: what at least one honest validator vouches for."""

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
    """Raises ValidatorsAway when too few answer alike."""

    def __init__(self, client: LedgerClient) -> None:
        self._client = client

    @property
    def genesis(self) -> bytes:
        return self._client.genesis.encode()

    @property
    def chain(self) -> str:
        """The chain's name: the hash of its genesis."""
        return self._client.genesis.chain.hex()

    def receipt(self, kept: StoredProof) -> Receipt:
        """Put together from what is kept; no validator is asked."""
        if kept.receipt is not None:
            return receipts.from_json(canonical_json.load(kept.receipt.encode()), "receipt")
        assert kept.sealed is not None, "one of the two is kept"
        certificate = receipts.certificate_from_json(
            canonical_json.load(kept.sealed.certificate.encode()), "certificate"
        )
        header = headers.from_json(canonical_json.load(kept.sealed.header.encode()), "header")
        block = BlockProof(
            header, merkle_log.split(kept.sealed.peaks), merkle_log.split(kept.sealed.leaves)
        )
        links = self._client.epochs.up_to(certificate.epoch)
        if len(links) < certificate.epoch:
            raise ValidatorsAway  # who tell what this process does not know yet
        index = block.index_of(kept.entry)
        return block.receipt(self._client.genesis, links, certificate, kept.entry, index)

    async def statuses(self) -> dict[int, ValidatorStatus | None]:
        """Each validator's own word; those who do not answer have none."""
        told = await self._client.statuses()
        known = [validator.replica for validator in self._client.configuration.validators]
        return {replica: told.get(replica) for replica in known}

    async def height(self) -> int:
        """The highest block that an honest validator has."""
        heights = sorted(told.height for told in (await self._client.statuses()).values())
        if len(heights) < self._client.configuration.weak_quorum:
            raise ValidatorsAway
        return heights[-self._client.configuration.weak_quorum]

    async def headers(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Upwards from the one above `after`."""
        return list(await self._agreed("blocks", after, limit))

    async def block(self, height: int) -> dict[str, Any]:
        """A header and its entries. Raises UnknownBlock."""
        if height > await self.height():
            raise UnknownBlock(f"the chain has no block {height} yet")
        found: dict[str, Any] = await self._agreed("block", height)
        return found

    async def entries(self, booking_id: str) -> Sequence[dict[str, Any]]:
        """All entries of a booking, in their order."""
        return list(await self._agreed("entries", name=booking_id))

    async def completeness(
        self, booking_id: str, known: Callable[[int], Awaitable[HeaderCertificate | None]]
    ) -> CompletenessProof:
        """All entries of a booking, proved. Raises UnknownBlock while there is no block at all."""
        height = await self.height()
        if height == 0:
            raise UnknownBlock
        try:
            return await certify.prove_completeness(self._client, booking_id, height, known)
        except NoQuorum as error:
            raise ValidatorsAway from error

    async def consistency(self, first: int, second: int) -> list[str]:
        """Raises NotThatLarge."""
        height = await self.height()
        size = (await self._agreed("blocks", height - 1, 1))[0]["size"] if height else 0
        if not 0 < first <= second <= size:
            raise NotThatLarge(f"0 < from <= to <= {size}", size=size)
        return list(await self._agreed("consistency", first, second))

    async def _agreed(self, ask: str, first: int = 0, second: int = 0, name: str = "") -> Any:
        """Those who are a moment behind get a moment."""
        for _ in range(TRIES_MAX):
            found = await self._client.query_agreed(ask, first, second, name)
            if found is not None:
                return found
            await asyncio.sleep(PAUSE_SECONDS)
        raise ValidatorsAway
