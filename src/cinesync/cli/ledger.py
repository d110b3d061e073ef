"""`cinesync ledger`, `validator` and `verify`: validators, receipts, proofs."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from cinesync.cli.context import CommandError, data_option, environ

if TYPE_CHECKING:
    from cinesync.pbft.messages import Configuration
    from cinesync.validator.membership import MembershipPlan

VALIDATORS_DEFAULT = 4

file_type = click.Path(path_type=Path, dir_okay=False)


@click.command("validator")
@click.option(
    "--home",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder validator-N that `cinesync ledger init` made.",
)
def validator_command(home: Path) -> None:
    """Run one validator of the ledger."""
    from cinesync.chassis import telemetry  # noqa: PLC0415
    from cinesync.validator import main  # noqa: PLC0415
    from cinesync.validator.home import NoHome, load  # noqa: PLC0415
    from cinesync.validator.storage.schema import OldFormat  # noqa: PLC0415

    try:
        load(home)  # an error here is one line, before logging starts
        telemetry.configure_logging(environ().get("LOG_LEVEL") or "INFO")
        main.main(home)
    except (NoHome, OldFormat) as error:
        raise CommandError(str(error)) from error


@click.command("verify")
@click.argument("file", type=file_type)
@click.argument("other", type=file_type, required=False)
@click.option("--genesis", type=file_type, help="The genesis to trust; default: the one in FILE.")
def verify_command(file: Path, other: Path | None, genesis: Path | None) -> None:
    """Check a receipt, all entries of a booking, or a proof of fraud, offline.

    With a second file, OTHER: also whether the two contradict each other, and which validators are
    at fault. Exit code 0: valid. 1: not valid, or fraud. 2: a file cannot be read.
    """
    from cinesync.cli.proof_files import UnreadableFile, compare_files, verify_file  # noqa: PLC0415
    from cinesync.proofs.strict_json import InvalidDocument  # noqa: PLC0415

    try:
        verdict = verify_file(file, genesis)
        fraud = compare_files(file, other, genesis) if other else verdict.fraud
    except UnreadableFile as error:
        raise CommandError(str(error)) from error
    except InvalidDocument as error:
        click.echo(f"not valid: {error}", err=True)
        sys.exit(1)
    click.echo(fraud.what if other and fraud else verdict.text)
    sys.exit(1 if fraud else 0)


@click.group("ledger")
def ledger_group() -> None:
    """Create a ledger, audit it, watch it, change its validators."""


@ledger_group.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--validators",
    default=VALIDATORS_DEFAULT,
    show_default=True,
    type=click.IntRange(4, 100),
    help="How many, when no --address is given.",
)
@click.option(
    "--address", "addresses", multiple=True, help="host:port of one validator; repeatable."
)
def ledger_init_command(folder: Path, validators: int, addresses: tuple[str, ...]) -> None:
    """Make keys, certificates and the genesis of a new ledger in FOLDER.

    Copy each folder validator-N to its machine, and client-ledger to the ledger service. Keep
    ca-key.pem and client-operator offline. Auditors pin genesis.json.
    """
    from cinesync.supervisor.ports import free_ports  # noqa: PLC0415
    from cinesync.validator import provisioning  # noqa: PLC0415

    chosen = addresses or [f"127.0.0.1:{port}" for port in free_ports(validators)]
    try:
        genesis = provisioning.init(folder, chosen)
    except (provisioning.ProvisioningFailed, OSError) as error:
        raise CommandError(str(error)) from error
    click.echo(f"created {genesis.chain.hex()} with {len(chosen)} validators in {folder}")


@ledger_group.command("audit")
@data_option
def ledger_audit_command(data: Path) -> None:
    """Hash every entry on every replica again. Exit code 1 when one was altered."""
    from cinesync.proofs.strict_json import InvalidDocument  # noqa: PLC0415
    from cinesync.validator.inspection import inspect  # noqa: PLC0415
    from cinesync.validator.storage.schema import OldFormat  # noqa: PLC0415

    folder = data.expanduser() / "ledger"
    try:
        report = inspect.audit(folder)
    except OldFormat as error:
        raise CommandError(str(error)) from error
    except (OSError, InvalidDocument) as error:
        raise CommandError(f"There is no ledger to check in {folder}: {error}.") from error
    for replica in report.replicas:
        click.echo(
            f"replica {replica.number}: {len(replica.blocks)} blocks, {replica.entry_count} entries"
        )
    for finding in report.findings:
        click.echo(f"ALTERED: {finding}")
    click.echo("every byte is as signed" if not report.findings else "do not trust these")
    sys.exit(1 if report.findings else 0)


@ledger_group.command("watch")
@click.option(
    "--looks", type=click.IntRange(min=1), help="Stop after so many states; default: never."
)
@data_option
def ledger_watch_command(looks: int | None, data: Path) -> None:
    """Follow the chain, and check that each state continues the one before."""
    from cinesync.validator.watch import ChainContradiction  # noqa: PLC0415

    try:
        asyncio.run(_watch(data.expanduser() / "ledger" / "client-ledger", looks))
    except ChainContradiction as error:
        click.echo(f"BROKEN: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@ledger_group.group("propose")
def propose_group() -> None:
    """Change the validators, one at a time, with the operator's key.

    Each command ends when the change is in force: at a checkpoint signed by the former validators.
    """


def _change_options(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        data_option,
        click.option(
            "--home",
            type=click.Path(path_type=Path, file_okay=False),
            help="The home whose key signs the proposal; default: client-operator in --data.",
        ),
        click.option(
            "--prepare",
            is_flag=True,
            help="Only create the keys, to copy them to their machine first.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@propose_group.command("add")
@click.option("--address", help="host:port of the validator; default: a free port of this machine.")
@click.option(
    "--number", type=click.IntRange(min=0), help="Its number; default: the next unused one."
)
@_change_options
def propose_add_command(
    address: str | None, number: int | None, data: Path, home: Path | None, *, prepare: bool
) -> None:
    """Add a validator, and create its home.

    Then start it with the command that is printed; it synchronizes by itself. Its key and
    certificate need ca-key.pem.
    """
    from cinesync.supervisor.ports import free_port  # noqa: PLC0415
    from cinesync.validator import membership  # noqa: PLC0415

    where = address or f"127.0.0.1:{free_port()}"
    folder = data.expanduser() / "ledger"
    wanted = _propose(membership.add(folder, number, where), folder, home, prepare=prepare)
    replica = wanted.validators[-1].replica
    click.echo(f"validator {replica}: cinesync validator --home {folder / f'validator-{replica}'}")


@propose_group.command("remove")
@click.argument("number", type=click.IntRange(min=0))
@_change_options
def propose_remove_command(number: int, data: Path, home: Path | None, *, prepare: bool) -> None:
    """Remove validator NUMBER; then its process may be stopped."""
    from cinesync.validator import membership  # noqa: PLC0415

    _propose(membership.remove(number), data.expanduser() / "ledger", home, prepare=prepare)


@propose_group.command("rekey")
@click.argument("number", type=click.IntRange(min=0))
@_change_options
def propose_rekey_command(number: int, data: Path, home: Path | None, *, prepare: bool) -> None:
    """Replace the key and certificate of validator NUMBER, while it runs.

    They are created in its home in --data, and need ca-key.pem. The old ones become invalid.
    """
    from cinesync.validator import membership  # noqa: PLC0415

    folder = data.expanduser() / "ledger"
    _propose(membership.rekey(folder, number), folder, home, prepare=prepare)


def _propose(
    plan: "MembershipPlan", folder: Path, home: Path | None, *, prepare: bool
) -> "Configuration":
    from cinesync.validator import membership, provisioning  # noqa: PLC0415
    from cinesync.validator.home import NoHome  # noqa: PLC0415

    operator = home or provisioning.client_home(folder, provisioning.OPERATOR)
    try:
        wanted = asyncio.run(membership.propose_as(operator, plan, only_prepare=prepare))
    except (NoHome, membership.ChangeRefused) as error:
        raise CommandError(str(error)) from error
    state = "prepared" if prepare else f"in force, a quorum is {wanted.quorum}"
    click.echo(f"epoch {wanted.epoch}: validators {membership.validator_list(wanted)}; {state}")
    return wanted


async def _watch(folder: Path, looks: int | None) -> None:
    from cinesync.validator import home  # noqa: PLC0415
    from cinesync.validator.network.client import LedgerClient  # noqa: PLC0415
    from cinesync.validator.watch import follow  # noqa: PLC0415

    try:
        client = LedgerClient(home.load(folder))
    except home.NoHome as error:
        raise CommandError(str(error)) from error
    running = asyncio.create_task(client.run())
    try:
        async for seen in follow(client):
            click.echo(seen.text)
            looks = looks and looks - (seen.header is not None)
            if looks == 0:
                return
    finally:
        running.cancel()
