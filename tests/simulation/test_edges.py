"""Edge cases that random runs rarely reach: one replica, one message, one answer."""

import dataclasses
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from cinesync.pbft import catch_up, checkpoint, execution, view_change
from cinesync.pbft.certificates import signed
from cinesync.pbft.client import PbftClient
from cinesync.pbft.core import Core, Transfer
from cinesync.pbft.evidence import contradict
from cinesync.pbft.log import BLOCKS_PER_SLOT_MAX, Slot
from cinesync.pbft.messages import (
    CLIENT_WINDOW,
    Cached,
    Checkpoint,
    CheckpointState,
    Commit,
    ConsensusBlock,
    FetchChunk,
    FetchState,
    MalformedMessage,
    NewView,
    Prepare,
    PrePrepare,
    ProbeAnswer,
    ReplicaStatus,
    Reply,
    Request,
    StableProof,
    ViewChange,
    digest,
    digest_of,
    encode,
    payload,
)
from cinesync.pbft.replica import Send
from cinesync.pbft.sessions import SessionTable
from tests.simulation.byzantine import resigned
from tests.simulation.fakes import FakeKeys, configuration
from tests.simulation.simulate import finish, lose_log
from tests.simulation.simulation import KEYS, PARAMETERS, TICK, Node, Simulation, kind

STATUS = ReplicaStatus(epoch=0, view=0, active=True, executed=0, stable=0)
LIE = StableProof(0, 8, digest(ConsensusBlock(1, ())), ())


def _core(sim: Simulation, me: int = 1) -> Core:
    replica = sim.nodes[me].replica
    assert replica is not None
    return replica.core


def _after(blocks: int, seed: int = 1, spares: int = 0) -> Simulation:
    sim = Simulation(seed, spares=spares)
    for index in range(blocks):
        sim.submit(b"%d" % index)
        sim.run(4 * TICK)
    return sim


def _record_kinds(sim: Simulation, me: int) -> list[bytes]:
    """The kinds of what this node sends from now on."""
    heard: list[bytes] = []

    def outgoing(_node: Node, sends: Iterable[Send]) -> Iterable[Send]:
        for send in sends:
            heard.append(kind(send.frame))
            yield send

    sim.nodes[me].outgoing = outgoing
    return heard


def _proposal(
    sim: Simulation, block: ConsensusBlock | None, *, view: int = 0, height: int = 1
) -> PrePrepare:
    bare = PrePrepare(0, b"", 0, view, height, digest_of(block), block)
    return resigned(sim.nodes[0], bare)


def _accepted(sim: Simulation, proposal: PrePrepare) -> bool:
    sim.deliver(0, 1, encode(proposal))
    slot = _core(sim).log.slots.get(proposal.height)
    return slot is not None and slot.proposal is not None


def _request(operation: bytes = b"x", sequence: int = 1) -> Request:
    request = Request("ada", sequence, (operation,))
    return replace(request, signature=KEYS.sign(b"c:ada", payload(request)))


def test_a_block_is_accepted_only_if_all_of_it_is_fit() -> None:
    good = ConsensusBlock(10_000, (_request(),))
    unfit = [
        replace(good, time=10_000 + 2_001),
        replace(good, time=10_000 - 2_001),
        replace(good, requests=(_request(), _request())),
        replace(good, requests=tuple(_request(sequence=i) for i in range(1, 6))),
        replace(good, requests=(_request(b"bad"),)),
        replace(good, requests=(replace(_request(), signature=b"?"),)),
        None,
    ]
    assert not any(_accepted(Simulation(1), _proposal(Simulation(1), block)) for block in unfit)
    assert _accepted(Simulation(1), _proposal(Simulation(1), good))


def test_a_block_may_not_be_older_than_the_one_before() -> None:
    sim = Simulation(1)
    assert _accepted(sim, _proposal(sim, ConsensusBlock(10_000, (_request(),))))
    earlier = ConsensusBlock(9_999, (_request(sequence=2),))
    assert not _accepted(sim, _proposal(sim, earlier, height=2))


def test_a_proposal_whose_digest_is_another_blocks_is_refused() -> None:
    sim = Simulation(1)
    honest = _proposal(sim, ConsensusBlock(10_000, (_request(),)))
    swapped = replace(honest, block=ConsensusBlock(10_001, (_request(),)))
    assert not _accepted(sim, resigned(sim.nodes[0], swapped))


def test_votes_with_a_false_signature_do_not_count() -> None:
    sim = Simulation(1)
    core = _core(sim)
    sim.deliver(3, 1, encode(Prepare(2, b"?", 0, 0, 1, bytes(32))))
    sim.deliver(3, 1, encode(Commit(2, b"?", 0, 0, 1, bytes(32))))
    sim.deliver(3, 1, encode(Checkpoint(2, b"?", 0, 2, bytes(32))))
    sim.deliver(3, 1, encode(PrePrepare(0, b"?", 0, 0, 1, bytes(32))))
    slot = core.log.slots[1]
    assert not slot.prepares
    assert not slot.commits
    assert not core.checkpoints[2]


def test_clients_may_only_send_requests() -> None:
    sim = Simulation(1)
    frame = encode(STATUS)
    replica = sim.nodes[1].replica
    assert replica is not None
    replica.step("ada", frame, 0)
    assert not _core(sim).peers


def test_statuses_of_too_many_peers_are_not_stored() -> None:
    core = _core(Simulation(1))
    core.peers = dict.fromkeys(range(1_000, 1_000 + catch_up.PEERS_MAX), STATUS)
    catch_up.on_status(core, 77, STATUS)
    assert 77 not in core.peers


def test_no_new_view_is_resent_when_there_was_none() -> None:
    core = _core(Simulation(1))
    core.outbox.clear()
    for _ in range(2):
        catch_up.on_status(core, 3, replace(STATUS, active=False))
    assert not core.outbox


def test_requests_above_the_limit_are_dropped() -> None:
    sim = Simulation(1)
    for sequence in range(1, 80):
        sim.deliver("ada", 1, encode(_request(sequence=sequence)))
    assert len(_core(sim).pending) == sim.parameters.pending_max


def test_backups_forward_a_request_that_the_primary_lacks() -> None:
    sim = Simulation(1)
    sim.network.cut = {("ada", 0)}
    sim.submit(b"x")
    assert sim.run_until(lambda: len(sim.outcomes) == 1, PARAMETERS.timeout_ticks * TICK)
    assert {_core(sim, at).view for at in range(4)} == {0}


def test_a_request_is_forwarded_to_each_primary_once() -> None:
    sim = Simulation(1)
    heard = _record_kinds(sim, 3)
    sim.network.lose = {(b"request", 0), (b"request", 1)}
    sim.submit(b"x")
    assert sim.run_until(lambda: _core(sim, 3).view == 1, 2 * PARAMETERS.timeout_ticks * TICK)
    assert heard.count(b"request") == 1
    assert sim.run_until(lambda: _core(sim, 3).view == 2, 4 * PARAMETERS.timeout_ticks * TICK)
    assert heard.count(b"request") == 2


def test_a_proposed_request_is_not_forwarded() -> None:
    sim = Simulation(1)
    heard = _record_kinds(sim, 1)
    sim.network.lose = {(b"commit", to) for to in sim.nodes}
    sim.submit(b"x")
    sim.run(PARAMETERS.timeout_ticks * TICK)
    assert b"prepare" in heard
    assert b"request" not in heard


def test_an_old_state_is_answered_with_the_newer_proof() -> None:
    core = _core(_after(6))
    core.outbox.clear()
    catch_up.on_fetch_state(core, 3, FetchState(1))
    catch_up.on_fetch_state(core, 3, FetchState(99))
    assert core.outbox == [(3, core.log.stable)]


def test_newer_checkpoints_do_not_put_off_a_transfer() -> None:
    core = _core(Simulation(1))
    core.await_state(LIE)
    core.ticks += catch_up.TRANSFER_DELAY_TICKS
    core.await_state(replace(LIE, height=LIE.height + PARAMETERS.interval))
    catch_up.fetch_state(core)
    assert core.outbox == [(core.others[0], FetchState(LIE.height + PARAMETERS.interval))]


def test_chunks_that_are_not_stored_are_not_sent() -> None:
    core = _core(_after(2))
    core.outbox.clear()
    catch_up.on_fetch_chunk(core, 3, FetchChunk(1, 0))
    catch_up.on_fetch_chunk(core, 3, FetchChunk(2, 9))
    assert not core.outbox


def test_a_state_that_cannot_be_restored_is_not_installed() -> None:
    sim = Simulation(1)
    core = _core(sim)
    state = CheckpointState(2, 0, sim.genesis, None, bytes(32), b"unknown", 0)
    core.transfer = Transfer(StableProof(0, 2, digest(state), ()), 0, state)
    core.ticks = 10
    catch_up.fetch_state(core)
    assert core.executed == 0


def test_an_unproven_answer_does_not_end_abstaining() -> None:
    sim = _after(2)
    lose_log(sim, sim.nodes[1], wiped=True)
    core = _core(sim)
    for peer in (0, 2, 3):
        catch_up.on_probe_answer(core, peer, ProbeAnswer(core.nonce, LIE))
    assert core.abstaining
    assert core.abstain_until is None


def test_an_unproven_checkpoint_is_ignored() -> None:
    sim = Simulation(1)
    sim.deliver(3, 1, encode(LIE))
    assert _core(sim).transfer is None


def test_a_quorum_for_another_state_stops_a_validator() -> None:
    core = _core(_after(4))
    height = max(core.snapshots)
    core.log.stable = replace(core.log.stable, height=0)
    with pytest.raises(checkpoint.Diverged):
        checkpoint.learn(core, StableProof(0, height, bytes(32), ()))


def test_an_observer_follows_without_voting() -> None:
    sim = Simulation(2, spares=1)
    sim.network.lose = {(b"checkpoint", me) for me in range(4)}
    sim.submit(b"1")
    sim.run(20 * TICK)
    sim.submit(b"2")
    sim.run(20 * TICK)
    assert _core(sim, 4).executed == 2
    assert not any(replica == 4 for votes in _core(sim).checkpoints.values() for replica in votes)


def test_a_decided_block_withstands_a_later_choice() -> None:
    sim = _after(1)
    core = _core(sim)
    decided = core.log.slots[1].decided
    other = PrePrepare(0, b"", 0, 4, 1, digest(ConsensusBlock(5, ())))
    core.new_view = NewView(0, b"", 0, 4, (), (other,))
    view_change.accept_choices(core)
    assert core.log.slots[1].proposal is not None
    assert core.log.slots[1].proposal.view == 0
    assert core.log.slots[1].decided == decided


def test_a_view_change_can_end_an_epoch() -> None:
    """Its C is the certificate that was missing here."""
    sim = Simulation(5)
    checkpoints = {(b"checkpoint", 1), (b"stableproof", 1)}
    sim.network.lose = checkpoints
    sim.submit(b"", "operator", configuration(epoch=1))
    sim.run(30 * TICK)
    core, ahead = _core(sim), _core(sim, 2)
    assert (core.configuration.epoch, ahead.configuration.epoch) == (0, 1)
    message = ViewChange(2, b"", 0, core.view + 9, ahead.log.stable, ())
    sim.deliver(2, 1, encode(resigned_in(sim, message)))
    assert core.configuration.epoch == 1


def resigned_in(sim: Simulation, message: ViewChange) -> ViewChange:
    key = sim.genesis.key(message.replica)
    assert key is not None
    return replace(message, signature=KEYS.sign(key, payload(message)))


def test_a_new_view_can_end_an_epoch() -> None:
    sim = Simulation(5)
    sim.network.lose = {(b"checkpoint", 1), (b"stableproof", 1)}
    sim.submit(b"", "operator", configuration(epoch=1))
    sim.run(30 * TICK)
    core, ahead = _core(sim), _core(sim, 2)
    changes = tuple(
        resigned_in(sim, ViewChange(who, b"", 0, 46, ahead.log.stable, ())) for who in (0, 2, 3)
    )
    message = NewView(2, b"", 0, 46, changes, ())
    key = sim.genesis.key(2)
    assert key is not None
    message = replace(message, signature=KEYS.sign(key, payload(message)))
    sim.deliver(2, 1, encode(message))
    assert core.configuration.epoch == 1


def test_a_slot_drops_old_blocks_but_not_needed_ones() -> None:
    slot = Slot(1)
    for index in range(10):
        slot.keep(bytes([index]), ConsensusBlock(index, ()))
    assert len(slot.blocks) == BLOCKS_PER_SLOT_MAX
    assert bytes([9]) in slot.blocks


def test_sessions_cache_a_window_of_replies() -> None:
    table = SessionTable()
    for sequence in range(1, 200):
        table.remember("ada", Cached(sequence, 1, b""))
    (session,) = table.freeze()
    assert len(session.replies) == CLIENT_WINDOW
    assert not table.is_new(_request(sequence=100))
    assert table.is_new(_request(sequence=200))
    assert "ada" in table
    assert len(table) == 1


def test_a_client_needs_f_plus_1_signed_replies() -> None:
    sim = Simulation(1)
    client = sim.clients["ada"]
    client.submit((b"x",))
    reply = Reply(1, b"", 0, "ada", 1, 1, b"yes", None)
    forged = replace(reply, signature=b"?")
    assert client.step(1, encode(forged)) is None
    with pytest.raises(MalformedMessage):
        client.step(2, encode(forged))
    for me, result in ((1, b"yes"), (2, b"no")):
        one = resigned(sim.nodes[me], replace(reply, replica=me, result=result))
        assert client.step(me, encode(one)) is None
    last = resigned(sim.nodes[3], replace(reply, replica=3))
    outcome = client.step(3, encode(last))
    assert outcome is not None
    assert outcome.result == b"yes"
    assert client.step(3, encode(last)) is None


def test_a_client_that_wants_a_receipt_waits_for_a_quorum_of_attestations() -> None:
    sim = Simulation(1)
    client = PbftClient("ada", sim.genesis, KEYS, 1, receipts=True)
    sim.clients["ada"] = client
    sim.submit(b"x")
    finish(sim)
    attestations = sim.outcomes["ada", 1].attestations
    assert len(attestations) == sim.genesis.quorum
    assert len({one.digest for one in attestations}) == 1
    assert all(signed(KEYS, sim.genesis, one) for one in attestations)


def test_a_client_stops_at_a_window_of_open_batches() -> None:
    client = Simulation(1).clients["ada"]
    for _ in range(CLIENT_WINDOW):
        client.submit((b"x",))
    assert client.window_left == 0


def test_conflicting_checkpoints_are_evidence_too() -> None:
    sim = Simulation(1)
    one = resigned(sim.nodes[1], Checkpoint(1, b"", 0, 2, digest(ConsensusBlock(1, ()))))
    other = resigned(sim.nodes[1], Checkpoint(1, b"", 0, 2, digest(ConsensusBlock(2, ()))))
    assert contradict(FakeKeys(), configuration(), one, other)


def test_a_repeated_request_is_answered_but_not_applied_again() -> None:
    sim = _after(1)
    applied = sim.nodes[1].application.applied
    heard: list[bytes] = []
    sim.trace = lambda _source, to, frame: heard.append(frame) if to == "ada" else None
    slot = _core(sim).log.slots[1].decided
    assert slot is not None
    assert slot.block is not None
    sim.deliver("ada", 1, encode(slot.block.requests[0]))
    assert len(heard) == 1
    assert sim.nodes[1].application.applied == applied


def test_a_change_beyond_the_last_epoch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "EPOCHS_MAX", 0)
    sim = Simulation(1)
    sim.submit(b"", "operator", configuration(epoch=1))
    finish(sim)
    assert next(iter(sim.outcomes.values())).result == b"refused"


# how full a block should be


def _proposals(sim: Simulation) -> list[int]:
    """How many requests each block of the primary has, of those that nobody has decided."""
    slots = _core(sim, 0).log.slots.values()
    blocks = [block for slot in slots for block in slot.blocks.values() if block is not None]
    return [len(block.requests) for block in blocks]


@pytest.mark.parametrize(
    ("full_operations", "block_requests_max", "blocks"),
    [(9, 9, [1]), (2, 9, [1, 2]), (9, 2, [1, 2]), (9, 1, [1, 1, 1])],
)
def test_a_block_waits_for_the_one_before_it_until_it_is_full(
    full_operations: int, block_requests_max: int, blocks: list[int]
) -> None:
    limits = {"full_operations": full_operations, "block_requests_max": block_requests_max}
    sim = Simulation(
        1, parameters=dataclasses.replace(PARAMETERS, partial_in_flight_max=1, **limits)
    )
    sim.network.delay_max = 1
    sim.network.lose = {(b"prepare", to) for to in sim.nodes}
    for index in range(3):
        sim.submit(b"%d" % index)
    sim.run(TICK)
    assert _proposals(sim) == blocks
    sim.network.lose.clear()
    finish(sim)
    assert len(sim.outcomes) == 3


def test_a_decided_block_is_written_once_and_found_again() -> None:
    sim = _after(1)
    node = sim.nodes[1]
    records = [row for row in node.disk.durable if b"log.accepted" in row or b"decided" in row]
    assert [b"ada" in row for row in records] == [True, False]
    sim.kill(node)
    sim.start(node)
    slot = _core(sim).log.slots[1]
    assert slot.decided is not None
    assert slot.decided.block is not None
    assert digest_of(slot.decided.block) == slot.decided.digest
