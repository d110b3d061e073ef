"""`cinesync ledger watch`: follows the chain from outside and checks that it only ever grows."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from cinesync.proofs.headers import BlockHeader
from cinesync.validator.membership import members
from cinesync.validator.network.client import LedgerClient, NoQuorum

PAUSE_SECONDS: Final = 1.0


class ChainContradiction(Exception):
    """The chain contradicts what it said before; the message says how."""


@dataclass(frozen=True)
class ChainObservation:
    """What a look found. `header`: certified, and proven to continue the one before."""

    header: BlockHeader | None
    trouble: str = ""

    @property
    def text(self) -> str:
        """One line for people."""
        if self.header is None:
            return self.trouble
        header = self.header
        return f"height {header.height}, {header.size} entries, root {header.root.hex()[:16]}…"


async def follow(
    client: LedgerClient, pause_seconds: float = PAUSE_SECONDS
) -> AsyncGenerator[ChainObservation, None]:
    """A look whenever there is something new, for ever. Raises ChainContradiction."""
    trusted: BlockHeader | None = None
    trouble, epoch = "", 0
    while True:
        try:
            header = await _newest(client)
            if client.configuration.epoch > epoch:
                epoch = client.configuration.epoch
                yield ChainObservation(
                    None, f"epoch {epoch}: validators {members(client.configuration)}"
                )
            if header is not None and header != trusted:
                await _check(client, trusted, header)
                trusted = header
                yield ChainObservation(header)
            trouble = ""
        except NoQuorum as error:
            if str(error) != trouble:
                trouble = str(error)
                yield ChainObservation(None, trouble)
        await asyncio.sleep(pause_seconds)


async def _newest(client: LedgerClient) -> BlockHeader | None:
    told = [standing.height for standing in (await client.standings()).values()]
    if len(told) < client.configuration.quorum:
        raise NoQuorum(f"{len(told)} of {client.configuration.size} validators answer")
    height = sorted(told)[-client.configuration.quorum]
    return (await client.certify(height))[0] if height else None


async def _check(client: LedgerClient, before: BlockHeader | None, header: BlockHeader) -> None:
    """A quorum signed both, so a contradiction means that more lie than may."""
    if before is None or before.size == 0:
        return
    if header.height <= before.height:
        if header.height == before.height or header.size > before.size:
            raise ChainContradiction(f"two chains at height {header.height}")
        return
    if header.size < before.size:
        raise ChainContradiction(f"the log shrank from {before.size} to {header.size} entries")
    await client.consistency(before, header)
