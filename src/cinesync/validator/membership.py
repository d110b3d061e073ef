"""`cinesync ledger propose`: an operator changes the validators, one at a time."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from cinesync.chassis import clock
from cinesync.pbft.messages import Configuration, Validator
from cinesync.proofs.epochs import Epochs
from cinesync.proofs.genesis import REPLICA_MAX, VALIDATORS_MAX, VALIDATORS_MIN
from cinesync.proofs.receipts import LINKS_MAX
from cinesync.validator import home, provisioning
from cinesync.validator.network.client import LedgerClient, first_sequence

WAIT_SECONDS_MAX: Final = 60.0
ALIVE_SECONDS_MAX: Final = 5.0
POLL_SECONDS: Final = 0.05

MembershipPlan = Callable[[Epochs], Configuration]


class ChangeRefused(Exception):
    """The validators do not change; the message says why."""


# the next configuration: pure


def with_validator(now: Configuration, replica: int, key: bytes) -> Configuration:
    """Raises ChangeRefused."""
    if now.key(replica) is not None:
        raise ChangeRefused(f"validator {replica} is one already")
    if not 0 <= replica <= REPLICA_MAX or now.size >= VALIDATORS_MAX:
        raise ChangeRefused(f"{VALIDATORS_MAX} validators at most, numbered up to {REPLICA_MAX}")
    return _next(now, (*now.validators, Validator(replica, key)))


def without_validator(now: Configuration, replica: int) -> Configuration:
    """Raises ChangeRefused."""
    _require_validator(now, replica)
    if now.size <= VALIDATORS_MIN:
        raise ChangeRefused(f"{VALIDATORS_MIN} validators are the fewest that tolerate a fault")
    return _next(now, tuple(v for v in now.validators if v.replica != replica))


def with_key(now: Configuration, replica: int, key: bytes) -> Configuration:
    """Raises ChangeRefused."""
    _require_validator(now, replica)
    changed = (Validator(replica, key) if v.replica == replica else v for v in now.validators)
    return _next(now, tuple(changed))


def validator_list(configuration: Configuration) -> str:
    return ", ".join(str(validator.replica) for validator in configuration.validators)


def _require_validator(now: Configuration, replica: int) -> None:
    if now.key(replica) is None:
        raise ChangeRefused(f"there is no validator {replica}, only {validator_list(now)}")


def _next(now: Configuration, validators: tuple[Validator, ...]) -> Configuration:
    if now.epoch >= LINKS_MAX:
        raise ChangeRefused(f"a receipt holds at most {LINKS_MAX} changes of the validators")
    return msgspec.structs.replace(now, epoch=now.epoch + 1, validators=validators)


# plans: the change that an operator wants, and the keys for it, in the folder with ca-key.pem


def add(folder: Path, replica: int | None, address: str) -> MembershipPlan:
    """Add a validator. Creates its home unless an earlier try did."""

    def plan(epochs: Epochs) -> Configuration:
        chosen = _unused(epochs) if replica is None else replica
        with_validator(epochs.newest, chosen, b"")  # before anything is made
        place = provisioning.validator_home(folder, chosen)
        if not place.exists():
            provisioning.create_validator(folder, chosen)
        known = home.read_addresses(provisioning.client_home(folder, provisioning.OPERATOR))
        provisioning.write_addresses(folder, known | {chosen: address})
        return with_validator(epochs.newest, chosen, home.load(place).public_key)

    return plan


def remove(replica: int) -> MembershipPlan:
    return lambda epochs: without_validator(epochs.newest, replica)


def rekey(folder: Path, replica: int) -> MembershipPlan:
    """Give a validator a new key. Creates the key unless an earlier try did."""

    def plan(epochs: Epochs) -> Configuration:
        with_key(epochs.newest, replica, b"")
        place = provisioning.validator_home(folder, replica)
        used = {validator.public_key for one in epochs.all for validator in one.validators}
        spare = home.load(place).key_files.keys() - used if place.exists() else set()
        key = min(spare) if spare else provisioning.create_key(folder, replica)
        return with_key(epochs.newest, replica, key)

    return plan


def _unused(epochs: Epochs) -> int:
    """The next unused number: numbers are never reused."""
    return 1 + max(validator.replica for one in epochs.all for validator in one.validators)


# proposing


async def prepare(client: LedgerClient, plan: MembershipPlan) -> Configuration:
    """Create the keys for a plan, and return what it proposes. Raises ChangeRefused."""
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await _wait_for_newest_epoch(client)
    except TimeoutError as error:
        raise ChangeRefused("too few validators answer") from error
    try:
        return plan(client.epochs)
    except (provisioning.ProvisioningFailed, home.NoHome) as error:
        raise ChangeRefused(str(error)) from error


async def propose(client: LedgerClient, plan: MembershipPlan) -> Configuration:
    """Propose a plan and wait until it is in force. Raises ChangeRefused."""
    _require_operator(client)
    wanted = await prepare(client, plan)
    await _require_live_quorum(client, wanted)
    client.start_sequences_at(first_sequence(0, int(clock.now().timestamp() * 1000)))
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            if not await client.propose(wanted):
                raise ChangeRefused("the validators refuse: another change is on its way")
            await _wait_until_in_force(client, wanted)
    except TimeoutError as error:
        what = f"not in force after {WAIT_SECONDS_MAX:.0f} s; it may be yet, so watch the ledger"
        raise ChangeRefused(what) from error
    return wanted


def _require_operator(client: LedgerClient) -> None:
    me = client.configuration.client(client.name)
    if me is None or not me.operator:
        operators = [one.name for one in client.configuration.clients if one.operator]
        raise ChangeRefused(
            f"{client.name} is not an operator; only {', '.join(operators)} may propose"
        )


async def _wait_for_newest_epoch(client: LedgerClient) -> None:
    """Wait until a quorum of the newest known epoch reports that epoch."""
    while True:
        statuses = (await client.statuses()).values()
        newest = client.configuration
        if sum(status.epoch == newest.epoch for status in statuses) >= newest.quorum:
            return
        await asyncio.sleep(POLL_SECONDS)


async def _require_live_quorum(client: LedgerClient, wanted: Configuration) -> None:
    """Require that a quorum of the new set answers: without one, no change could be undone."""
    alive = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(ALIVE_SECONDS_MAX):
            while alive < wanted.quorum:
                answers = await client.statuses()
                alive = sum(wanted.key(replica) is not None for replica in answers)
                await asyncio.sleep(POLL_SECONDS)
    if alive < wanted.quorum:
        raise ChangeRefused(
            f"of validators {validator_list(wanted)} only {alive} answer, and {wanted.quorum} must"
        )


async def _wait_until_in_force(client: LedgerClient, wanted: Configuration) -> None:
    while client.configuration.epoch < wanted.epoch:  # noqa: ASYNC110 a second, once in a year
        await asyncio.sleep(POLL_SECONDS)
    if client.epochs.all[wanted.epoch] != wanted:
        raise ChangeRefused(f"another change came first: epoch {wanted.epoch} is not this one")


async def propose_as(
    operator: Path, plan: MembershipPlan, *, only_prepare: bool = False
) -> Configuration:
    """Propose as the client with this home. Raises NoHome, ChangeRefused."""
    client = LedgerClient(home.load(operator))
    running = asyncio.create_task(client.run())
    try:
        return await (prepare if only_prepare else propose)(client, plan)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
