"""The command `cinesync`: its groups, and its errors as one line with exit code 2."""

import sys

import rich_click as click

from cinesync.cli.audit import audit_command
from cinesync.cli.backup import backup_group
from cinesync.cli.ledger import ledger_group, validator_command, verify_command
from cinesync.cli.movies import import_group, seed_command
from cinesync.cli.payments import payments_group
from cinesync.cli.queues import queues_group
from cinesync.cli.serve import bank_command, serve_command
from cinesync.cli.settings import migrate_command, settings_command
from cinesync.cli.staff import staff_group
from cinesync.cli.up import restart_command, up_command
from cinesync.supervisor import private_files

click.rich_click.COMMAND_GROUPS = {
    "cinesync": [
        {"name": "Run", "commands": ["up", "serve", "validator", "bank"]},
        {"name": "Fill", "commands": ["migrate", "seed", "import"]},
        {
            "name": "Operate",
            "commands": ["restart", "audit", "backup", "queues", "staff", "payments", "settings"],
        },
        {"name": "Prove", "commands": ["verify", "ledger"]},
    ]
}


def run() -> None:
    """Run the command. Errors are one line on stderr, and exit code 2.

    Its files are readable by their owner only.
    """
    try:
        with private_files.private():
            sys.exit(main(standalone_mode=False))
    except click.ClickException as error:
        click.echo(f"cinesync: {' '.join(error.format_message().split())}", err=True)
        sys.exit(2)
    except click.Abort:
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cinesync")
def main() -> None:
    """CineSync sells cinema seats: no seat sold twice, no money lost.

    `cinesync up` starts a whole shop on this machine. Other commands (audit, queues, import, seed,
    …) use the shop in --data, running or not; with DATABASE_URL set, that server.
    """
    from cinesync.chassis import open_files  # noqa: PLC0415 `--help` loads nothing

    open_files.raise_limit()


for command in (
    up_command,
    restart_command,
    serve_command,
    validator_command,
    bank_command,
    migrate_command,
    seed_command,
    import_group,
    audit_command,
    backup_group,
    queues_group,
    staff_group,
    payments_group,
    settings_command,
    verify_command,
    ledger_group,
):
    main.add_command(command)


if __name__ == "__main__":
    run()
