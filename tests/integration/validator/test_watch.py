"""The watch: sees the chain grow, waits below a quorum, and cries out when it is contradicted."""

import pytest

from cinesync.proofs.headers import BlockHeader
from cinesync.validator import watch
from cinesync.validator.network.client import LedgerClient
from cinesync.validator.watch import ChainContradiction
from tests.support.ledger_chains import MemoryChain, entry
from tests.support.validator_cluster import ValidatorCluster


@pytest.mark.slow
async def test_every_new_block_is_checked_and_a_lost_quorum_is_reported(
    cluster: ValidatorCluster,
) -> None:
    cluster.start()
    async with cluster.client() as client:
        looks = watch.follow(client, pause_seconds=0.05)
        for number in range(3):
            appended = await client.submit([entry(number).encode()])
            seen = await anext(looks)
            assert seen.header is not None
            assert seen.header.height == appended.height
            assert seen.text.startswith(f"height {appended.height}, {number + 1} entries")
        cluster.kill(0, 1)
        seen = await anext(looks)
        assert "validators answer" in seen.text
        cluster.start([0, 1])
        await client.submit([entry(3).encode()])
        while (seen := await anext(looks)).header is None:
            pass
        assert seen.header.size == 4
        await looks.aclose()


async def test_a_chain_that_contradicts_itself_is_reported() -> None:
    one, other = MemoryChain(), MemoryChain()
    for number in range(4):
        one.grow(entry(number))
    for number in range(2):
        other.grow(entry(number + 10))
    client: LedgerClient = None  # type: ignore[assignment]  # nobody is asked
    with pytest.raises(ChainContradiction, match="two chains at height 2"):
        await watch._check(client, one.blocks[1], other.blocks[1])
    other.grow()
    with pytest.raises(ChainContradiction, match="shrank from 4 to 2"):
        await watch._check(client, one.blocks[3], _at(5, other))
    await watch._check(client, one.blocks[3], one.blocks[2])
    await watch._check(client, None, one.blocks[2])


def _at(height: int, chain: MemoryChain) -> BlockHeader:
    while len(chain.blocks) < height:
        chain.grow()
    return chain.blocks[-1]
