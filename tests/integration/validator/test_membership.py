"""Validators come, change their keys and go, while entries flow: real processes, real keys."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from cinesync.cli.context import CommandError
from cinesync.cli.main import main
from cinesync.ledger.queries import LedgerQueries
from cinesync.pbft.messages import Attestation, Configuration, payload
from cinesync.proofs import keys, receipts
from cinesync.proofs.epochs import Epochs
from cinesync.proofs.receipts import HeaderCertificate, Receipt
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.supervisor.ports import free_port
from cinesync.validator import home, membership, provisioning, watch
from cinesync.validator.inspection import inspect
from cinesync.validator.membership import ChangeRefused, MembershipPlan
from cinesync.validator.network import transport
from cinesync.validator.network.client import LedgerClient
from cinesync.validator.network.query_client import NoQuorum
from cinesync.validator.network.transport import FrameKind
from tests.support.ledger_chains import MemoryChain, entry, founders, replaced
from tests.support.validator_cluster import ValidatorCluster, until


class Load:
    """One entry after the other, each with its receipt."""

    def __init__(self, client: LedgerClient) -> None:
        self._client = client
        self.receipts: list[Receipt] = []

    async def run(self) -> None:
        while True:
            try:
                self.receipts += await self._one(entry(len(self.receipts)).encode())
            except NoQuorum:
                continue  # its validators have gone since it was signed; the next height's are here

    async def _one(self, data: bytes) -> Sequence[Receipt]:
        appended = await self._client.submit([data])
        header, certificate = await self._client.certify(appended.height)
        event_id = entry(len(self.receipts)).event_id
        return await self._client.receipts(header, certificate, [event_id])

    async def reaches(self, epoch: int) -> None:
        await until(
            lambda: bool(self.receipts) and self.receipts[-1].certificate.epoch == epoch,
            f"a receipt of epoch {epoch}",
            180,
        )


@asynccontextmanager
async def load(client: LedgerClient) -> AsyncIterator[Load]:
    made = Load(client)
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def change(cluster: ValidatorCluster, plan: MembershipPlan) -> Configuration:
    return await membership.propose_as(provisioning.client_home(cluster.folder, "operator"), plan)


def addition(cluster: ValidatorCluster) -> MembershipPlan:
    return membership.add(cluster.folder, None, f"127.0.0.1:{free_port()}")


async def killed_meanwhile(
    cluster: ValidatorCluster, plan: MembershipPlan, process: int, monkeypatch: pytest.MonkeyPatch
) -> Configuration:
    """The change, with a validator killed in the moment that it is proposed."""
    proposed, send = asyncio.Event(), LedgerClient.propose

    async def propose(self: LedgerClient, wanted: Configuration) -> bool:
        proposed.set()
        return await send(self, wanted)

    monkeypatch.setattr(LedgerClient, "propose", propose)
    changing = asyncio.create_task(change(cluster, plan))
    await proposed.wait()
    cluster.kill(process)
    await asyncio.to_thread(cluster.start, [process])
    monkeypatch.undo()
    return await changing


async def level(client: LedgerClient, *replicas: int) -> bool:
    """They all follow the newest set, none more than a moment behind."""
    statuses = await client.statuses()
    heights = [status.height for status in statuses.values()]
    current = all(s.epoch == client.configuration.epoch for s in statuses.values())
    return set(statuses) == set(replicas) and current and max(heights) - min(heights) < 64


@pytest.mark.slow
async def test_validators_come_and_go_under_load(
    short_interval_cluster: ValidatorCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_interval_cluster.start()
    async with short_interval_cluster.client() as client, load(client) as loaded:
        await loaded.reaches(0)
        wanted = await killed_meanwhile(
            short_interval_cluster, addition(short_interval_cluster), 0, monkeypatch
        )
        assert membership.validator_list(wanted) == "0, 1, 2, 3, 4"
        await asyncio.to_thread(short_interval_cluster.start, [4])
        await until(lambda: level(client, 0, 1, 2, 3, 4), "five are level", 180)
        await loaded.reaches(1)
        short_interval_cluster.kill(3)  # it misses all that follows
        plan = membership.rekey(short_interval_cluster.folder, 1)
        await killed_meanwhile(short_interval_cluster, plan, 1, monkeypatch)
        await loaded.reaches(2)
        await change(short_interval_cluster, membership.remove(0))
        await asyncio.to_thread(short_interval_cluster.start, [3])
        await until(lambda: level(client, 1, 2, 3, 4), "the four are level", 180)
        await loaded.reaches(3)
        looks = watch.follow(client, pause_seconds=0.01)
        assert (await anext(looks)).text == "epoch 3: validators 1, 2, 3, 4"
        assert (await anext(looks)).header is not None
        assert list(await LedgerQueries(client).statuses()) == [1, 2, 3, 4]
    assert (
        LedgerClient(
            home.load(provisioning.client_home(short_interval_cluster.folder))
        ).configuration.epoch
        == 3
    )
    _all_receipts_verify(short_interval_cluster, loaded.receipts)
    _old_keys_count_no_longer(short_interval_cluster, loaded.receipts[-1])
    report = inspect.audit(short_interval_cluster.folder)
    assert (report.findings, [one.number for one in report.replicas]) == ([], [0, 1, 2, 3, 4])
    for old in (0, 1):
        await _is_a_stranger(short_interval_cluster, old)


def _all_receipts_verify(cluster: ValidatorCluster, found: Sequence[Receipt]) -> None:
    """Against the genesis of the first day; each in its place."""
    checked = [receipts.verify(one.encode(), cluster.genesis) for one in found]
    assert [one.index for one in checked] == list(range(len(found)))
    assert {one.certificate.epoch for one in checked} == {0, 1, 2, 3}


def _old_keys_count_no_longer(cluster: ValidatorCluster, receipt: Receipt) -> None:
    """Neither of who was removed nor of who has another key now."""
    for old, complaint in ((0, "0 is no validator"), (1, "not validator 1's")):
        key = keys.from_pem((cluster.home(old) / provisioning.KEY_FILE).read_bytes())
        epoch, header = receipt.certificate.epoch, receipt.header
        word = keys.sign(key, payload(Attestation(old, b"", epoch, header.height, header.hash)))
        forged = HeaderCertificate(epoch, receipt.certificate.signatures | {old: word})  # type: ignore[operator]
        with pytest.raises(InvalidDocument, match=complaint):
            receipts.verify(replaced(receipt, certificate=forged).encode(), cluster.genesis)


async def _is_a_stranger(cluster: ValidatorCluster, old: int) -> None:
    """It gets the epoch links and nothing else."""
    context = transport.client_context(cluster.home(old))
    frame = await _say(cluster, context, transport.hello(0))
    assert frame is not None
    assert frame[0] is FrameKind.LINKS
    assert (
        await _say(cluster, context, transport.pack(FrameKind.QUERY, b'{"id":1,"ask":"status"}'))
        is None
    )


async def _say(
    cluster: ValidatorCluster, context: ssl.SSLContext, frame: bytes
) -> tuple[FrameKind, bytes] | None:
    host, _, port = cluster.addresses[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="")
    try:
        writer.write(frame)
        return await anext(transport.frames(reader), None)
    finally:
        await transport.abort(writer)


@pytest.mark.slow
async def test_four_validators_become_seven_and_tolerate_two_faults(
    short_interval_cluster: ValidatorCluster,
) -> None:
    short_interval_cluster.start()
    async with short_interval_cluster.client() as client:
        for newcomer in (4, 5, 6):
            await change(short_interval_cluster, addition(short_interval_cluster))
            await asyncio.to_thread(short_interval_cluster.start, [newcomer])
            everyone = range(newcomer + 1)
            await until(lambda: level(client, *everyone), f"{newcomer} is level", 180)  # noqa: B023
        short_interval_cluster.kill(0, 5)
        appended = await client.submit([entry(1).encode()])
        _, certificate = await client.certify(appended.height)
        assert len(certificate.signatures) == 5


# what is refused, in one line


REFUSED = [
    (("remove", "9"), "there is no validator 9, only 0, 1, 2, 3"),
    (("remove", "0"), "4 validators are the fewest that tolerate a fault"),
    (("rekey", "7"), "there is no validator 7, only 0, 1, 2, 3"),
    (("add", "--number=2"), "validator 2 is one already"),
    (("add", "--number=70000"), "numbered up to 65535"),
    (
        ("rekey", "1", "--home={ledger}/client-ledger"),
        "ledger is not an operator; only operator may",
    ),
    (("remove", "1", "--home={ledger}/validator-1"), "no client has the key"),
    (("remove", "1", "--home=/nonexistent"), "No such file"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "complaint"), REFUSED)
def test_a_bad_proposal_is_refused_in_one_line(
    shared_cluster: ValidatorCluster, tmp_path: Path, arguments: Sequence[str], complaint: str
) -> None:
    (tmp_path / "ledger").symlink_to(shared_cluster.folder)
    filled = [argument.format(ledger=shared_cluster.folder) for argument in arguments]
    command = ["ledger", "propose", *filled, f"--data={tmp_path}"]
    result = CliRunner().invoke(main, command, standalone_mode=False)
    assert isinstance(result.exception, CommandError)
    assert complaint in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (shared_cluster.folder / "validator-4").exists()


@pytest.mark.slow
def test_keys_can_be_made_before_they_are_proposed(
    shared_cluster: ValidatorCluster, tmp_path: Path
) -> None:
    (tmp_path / "ledger").symlink_to(shared_cluster.folder)
    command = ["ledger", "propose", "rekey", "1", "--prepare", f"--data={tmp_path}"]
    for _ in range(2):
        result = CliRunner().invoke(main, command)
        assert result.output == "epoch 1: validators 0, 1, 2, 3; prepared\n"
    (spare,) = set(shared_cluster.home(1).glob("key-*.pem"))
    public = keys.public_bytes(keys.from_pem(spare.read_bytes()))
    assert home.load(shared_cluster.home(1)).key_file(public) == spare
    with pytest.raises(home.NoHome, match="lacks the key"):
        home.load(shared_cluster.home(1)).private_key(bytes(65))


@pytest.mark.slow
async def test_a_change_that_would_stop_the_ledger_is_not_proposed(
    cluster: ValidatorCluster,
) -> None:
    cluster.start([0, 1, 2])
    with pytest.raises(ChangeRefused, match="of validators 0, 1, 2, 3, 4 only 3 answer, and 4"):
        await change(cluster, addition(cluster))


async def test_a_client_says_why_a_change_was_not_made(
    cluster: ValidatorCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "WAIT_SECONDS_MAX", 0.01)
    operator = home.load(provisioning.client_home(cluster.folder, "operator"))
    client = LedgerClient(operator)
    with pytest.raises(ChangeRefused, match="too few validators answer"):
        await membership.prepare(client, membership.remove(1))

    async def nothing(*_: object) -> None: ...

    async def no(*_: object) -> bool:
        return False

    async def never(*_: object) -> bool:
        await asyncio.sleep(60)
        return True

    monkeypatch.setattr(membership, "_wait_for_newest_epoch", nothing)
    monkeypatch.setattr(membership, "_require_live_quorum", nothing)
    plan = membership.rekey(cluster.folder, 1)
    monkeypatch.setattr(client, "propose", no)
    with pytest.raises(ChangeRefused, match="another change is on its way"):
        await membership.propose(client, plan)
    monkeypatch.setattr(client, "propose", never)
    with pytest.raises(ChangeRefused, match="it may be yet"):
        await membership.propose(client, plan)
    (cluster.folder / provisioning.AUTHORITY_KEY_FILE).unlink()
    with pytest.raises(ChangeRefused, match="new certificates need"):
        await membership.propose(client, membership.add(cluster.folder, None, "a:1"))


# pure


def test_the_sets_follow_from_the_genesis_by_their_signatures() -> None:
    chain = MemoryChain()
    first = chain.grow(entry(1))
    chain.elect((1, 2, 3, 4))
    second = chain.grow(entry(2))
    chain.elect((2, 3, 4, 5), signers=(1, 2, 3))
    epochs = Epochs(chain.genesis)
    assert not epochs.learn(chain.links[1:])
    assert epochs.learn(chain.links)
    assert [one.epoch for one in epochs.all] == [0, 1, 2]
    assert [epochs.of(header) for header in (first, second)] == epochs.all[:2]
    assert [epochs.at(height) for height in (1, 2, 3)] == epochs.all
    assert epochs.up_to(1) == chain.links[:1]
    assert epochs.of(MemoryChain(founders(5)).grow()) is None


def test_a_set_that_too_few_signed_is_not_learnt() -> None:
    chain = MemoryChain()
    chain.grow(entry(1))
    chain.elect((1, 2, 3, 4), signers=(0, 1))
    assert not Epochs(chain.genesis).learn(chain.links)


def test_a_ledger_has_its_largest_size_and_its_last_epoch() -> None:
    genesis = founders().configuration
    full = replace(genesis, validators=genesis.validators * 64)
    with pytest.raises(ChangeRefused, match="256 validators at most"):
        membership.with_validator(full, 9, b"key")
    with pytest.raises(ChangeRefused, match="at most 64 changes"):
        membership.with_key(replace(genesis, epoch=64), 1, b"key")
