"""`cinesync queues`: list, show and replay dead letters."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import rich_click as click

from cinesync.cli.context import CommandError, data_option, shop_settings

if TYPE_CHECKING:
    from cinesync.chassis.messaging.dead_letters import DeadLetter

NO_SUCH_LETTER = "No dead letter has the event id {}; `cinesync queues dead` lists all."


@click.group("queues")
def queues_group() -> None:
    """Dead letters, events that their consumer could not handle: list, show, replay."""


@queues_group.command("dead")
@data_option
def queues_dead_command(data: Path) -> None:
    """List the dead letters of all queues. Exit code 1 when there are any."""
    letters = _dead_letters(data)
    for letter in letters:
        when = letter.died_at.isoformat(timespec="seconds") if letter.died_at else "-"
        click.echo(f"{letter.queue}  {letter.event_id}  {when}  {letter.error}")
    if not letters:
        click.echo("no dead letters")
    sys.exit(1 if letters else 0)


@queues_group.command("show")
@click.argument("event_id", type=click.UUID)
@data_option
def queues_show_command(event_id: UUID, data: Path) -> None:
    """Show one dead letter: its event and its last error."""
    letters = [letter for letter in _dead_letters(data) if letter.event_id == event_id]
    if not letters:
        raise CommandError(NO_SUCH_LETTER.format(event_id))
    for letter in letters:
        click.echo(f"queue: {letter.queue}\nevent: {letter.name}\nerror: {letter.error}")
        click.echo(letter.body.decode(errors="replace"))


@queues_group.command("replay")
@click.argument("event_id", type=click.UUID, required=False)
@click.option("--all", "replay_all", is_flag=True, help="All dead letters.")
@data_option
def queues_replay_command(event_id: UUID | None, data: Path, *, replay_all: bool) -> None:
    """Deliver a dead letter (or --all) to its consumer again. Duplicates have no effect."""
    from cinesync import operations  # noqa: PLC0415

    if (event_id is None) != replay_all:
        raise CommandError("Give one EVENT_ID, or --all.")
    with shop_settings(data) as settings:
        replayed = asyncio.run(operations.replay(settings, [event_id] if event_id else None))
    if event_id and not replayed:
        raise CommandError(NO_SUCH_LETTER.format(event_id))
    click.echo(f"{replayed} replayed")


def _dead_letters(data: Path) -> "list[DeadLetter]":
    from cinesync import operations  # noqa: PLC0415

    with shop_settings(data) as settings:
        return asyncio.run(operations.dead_letters(settings))
