"""Which parts a data folder has, noted when each is made, and what to do when one is missing.

A part is made once, whole or not at all, and noted in `parts.json`. At each start the parts that
are noted must be there: what is missing is never made anew beside data that needs the old one,
and nothing is deleted. A folder of an earlier version has no notes; there, a finished PostgreSQL
cluster, entries in a ledger or charges in the bank's books show that the other parts were made.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cinesync.chassis import durable
from cinesync.supervisor.errors import UpFailed

FILE: Final = "parts.json"
GENESIS: Final = "genesis.json"
SECRETS_OF_OLD: Final = ("shop", "bank")
BACKUP: Final = "put it back from a backup (`cinesync backup restore`, or a copy of the folder)"


@dataclass(frozen=True, slots=True)
class Misfit:
    """A part that is missing or is another shop's, in a sentence that says what to do.

    The shop can sell without what is `only_ledger`: what happens waits for its validators.
    """

    sentence: str
    only_ledger: bool = False


class Parts:
    """The notes of one data folder, and what is really there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / FILE
        self.postgres = folder / "postgres" / "data"
        self.bank = folder / "bank.sqlite"
        self.ledger = folder / "ledger"

    def note(self, **made: str) -> None:
        """These were made. Durable when it returns."""
        noted = self.noted()
        if made.items() <= noted.items():
            return
        durable.write(self._file, json.dumps({**noted, **made}, indent=1).encode())

    def noted(self) -> dict[str, str]:
        """By part: what is known of it. Raises UpFailed when the notes are damaged."""
        try:
            found: dict[str, str] = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return self._found_without_notes()
        except (OSError, ValueError) as error:
            raise UpFailed(f"{self._file} cannot be read ({error}): {BACKUP}.") from error
        return found

    def _found_without_notes(self) -> dict[str, str]:
        """What an earlier version made, in its order: PostgreSQL came last."""
        sold = _has_rows(self.bank, "charges") or any(
            _has_rows(chain, "entries") for chain in self.ledger.glob("validator-*/chain.sqlite")
        )
        if not sold and not (self.postgres / "PG_VERSION").exists():
            return {}
        made = ("postgres", "bank", "ledger", *(f"secret {name}" for name in SECRETS_OF_OLD))
        return dict.fromkeys(made, "")

    def note_broker(self, url: str) -> None:
        """Whether events go through RabbitMQ from now on, for commands that look at them later."""
        self.note(broker="RabbitMQ" if url else "")

    @property
    def has_broker(self) -> bool:
        return bool(self.noted().get("broker"))

    def note_what_is_there(self) -> None:
        """Once the shop is up: what this start made, or one that was killed before it noted it."""
        made = {"postgres": "", "bank": ""}
        paths = {"postgres": self.postgres, "bank": self.bank}
        self.note(**{part: known for part, known in made.items() if paths[part].exists()})

    def note_secret(self, name: str) -> None:
        self.note(**{f"secret {name}": ""})

    def note_ledger(self) -> None:
        """With the genesis that it was founded with."""
        self.note(ledger=_sha256(self.ledger / GENESIS))

    def misfits(self) -> list[Misfit]:
        """What is noted and not there, the worst first."""
        noted = self.noted()
        found = [*self._missing_secrets(noted), *self._missing_data(noted)]
        found += self._ledger_misfits(noted) if "ledger" in noted else []
        return sorted(found, key=lambda misfit: misfit.only_ledger)

    def check(self) -> list[str]:
        """Sentences about a ledger that must stand still. Raises UpFailed for all else."""
        misfits = self.misfits()
        fatal = [misfit.sentence for misfit in misfits if not misfit.only_ledger]
        if fatal:
            raise UpFailed(f"{' '.join(fatal)} Nothing was changed.")
        return [misfit.sentence for misfit in misfits]

    def check_secret(self, name: str) -> None:
        """Raises UpFailed when a secret that is missing was there once."""
        for misfit in self._missing_secrets(self.noted()):
            if misfit.sentence.startswith(str(self._secret(name))):
                raise UpFailed(f"{misfit.sentence} Nothing was changed.")

    def _secret(self, name: str) -> Path:
        return self.folder / f"{name}.secret"

    def _missing_secrets(self, noted: dict[str, str]) -> Iterator[Misfit]:
        for part in noted:
            kind, _, name = part.partition(" ")
            if kind == "secret" and not _has_text(self._secret(name)):
                yield Misfit(
                    f"{self._secret(name)} is missing or empty, and what it locks is still there;"
                    f" a new one would not open it: {BACKUP}."
                )

    def _missing_data(self, noted: dict[str, str]) -> Iterator[Misfit]:
        parts = {
            "postgres": (self.postgres, "the databases", "the ledger and the bank's books"),
            "bank": (self.bank, "the sandbox bank's books", "the databases, whose money it has,"),
        }
        for part, (path, what, others) in parts.items():
            if part in noted and not path.exists():
                yield Misfit(
                    f"{path} is missing: {what} of this shop. A new one would contradict"
                    f" {others} that were made with it: {BACKUP}."
                )

    def _ledger_misfits(self, noted: dict[str, str]) -> Iterator[Misfit]:
        client, genesis = self.ledger / "client-ledger" / GENESIS, self.ledger / GENESIS
        ours = noted["ledger"]
        if not client.exists():
            yield Misfit(
                f"{client} is missing: the ledger service's home in a ledger that was founded; a"
                f" new ledger would know nothing of what was sold: {BACKUP}."
            )
        elif ours and _sha256(client) != ours:
            yield Misfit(f"{client} is another ledger's, not the one of this shop: {BACKUP}.")
        elif not genesis.exists():
            yield Misfit(
                f"{genesis} is missing, but this ledger was founded, and its homes have copies:"
                f" `cp {client} {genesis}`, and start again.",
                only_ledger=True,
            )
        elif genesis.read_bytes() != client.read_bytes():
            yield Misfit(
                f"{genesis} is another ledger's than {client}, the one of this shop:"
                f" `cp {client} {genesis}`, and start again.",
                only_ledger=True,
            )
        elif not any(self.ledger.glob("validator-*/journal.sqlite")):
            yield Misfit(
                f"No validator in {self.ledger} has its journal any more: {BACKUP}.",
                only_ledger=True,
            )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _has_text(path: Path) -> bool:
    return path.exists() and bool(path.read_text().strip())


def _has_rows(path: Path, table: str) -> bool:
    if not path.exists():
        return False
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as connection:
        statement = f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)"  # noqa: S608 ours
        return bool(connection.execute(statement).fetchone()[0])
    return False
