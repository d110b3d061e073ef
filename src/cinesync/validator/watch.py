"""`cinesync ledger watch`: follow the chain from outside and check that it only grows."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from cinesync.proofs.headers import BlockHeader
from cinesync.validator.membership import validator_list
from cinesync.validator.network.client import LedgerClient
from cinesync.validator.network.query_client import NoQuorum

PAUSE_SECONDS: Final = 1.0


class ChainContradiction(Exception):
    """The chain contradicts an earlier state; the message says how."""


@dataclass(frozen=True)
class ChainObservation:
    """One observation. `header`: certified, and proven to continue the one before."""

    header: BlockHeader | None
    problem: str = ""

    @property
    def text(self) -> str:
        """The observation in one line."""
        if self.header is None:
            return self.problem
        header = self.header
        return f"height {header.height}, {header.size} entries, root {header.root.hex()[:16]}…"


async def follow(
    client: LedgerClient, pause_seconds: float = PAUSE_SECONDS
) -> AsyncGenerator[ChainObservation, None]:
    """Yield an observation when something changes, for ever. Raises ChainContradiction."""
    trusted: BlockHeader | None = None
    problem, epoch = "", 0
    while True:
        try:
            header = await _newest(client)
            if client.configuration.epoch > epoch:
                epoch = client.configuration.epoch
                yield ChainObservation(
                    None, f"epoch {epoch}: validators {validator_list(client.configuration)}"
                )
            if header is not None and header != trusted:
                await _check(client, trusted, header)
                trusted = header
                yield ChainObservation(header)
            problem = ""
        except NoQuorum as error:
            if str(error) != problem:
                problem = str(error)
                yield ChainObservation(None, problem)
        await asyncio.sleep(pause_seconds)


async def _newest(client: LedgerClient) -> BlockHeader | None:
    heights = [status.height for status in (await client.statuses()).values()]
    if len(heights) < client.configuration.quorum:
        raise NoQuorum(f"{len(heights)} of {client.configuration.size} validators answer")
    height = sorted(heights)[-client.configuration.quorum]
    return (await client.certify(height))[0] if height else None


async def _check(client: LedgerClient, before: BlockHeader | None, header: BlockHeader) -> None:
    """A quorum signed both headers: a contradiction means more than f Byzantine validators."""
    if before is None or before.size == 0:
        return
    if header.height <= before.height:
        if header.height == before.height or header.size > before.size:
            raise ChainContradiction(f"two chains at height {header.height}")
        return
    if header.size < before.size:
        raise ChainContradiction(f"the log shrank from {before.size} to {header.size} entries")
    await client.consistency(before, header)
