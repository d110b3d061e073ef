"""Which parts a data folder has, recorded when each is made, and what to do when one is missing.

A part is made once, whole or not at all, and recorded in `parts.json`. At each start the recorded
parts must be there. A missing part is never created again beside data that needs the old one, and
nothing is deleted. A folder of an earlier version has no record; there, a complete PostgreSQL
cluster, entries in a ledger or charges in the bank's books show that all parts were made.
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
from cinesync.supervisor.errors import StartFailed

FILE: Final = "parts.json"
GENESIS: Final = "genesis.json"
UNRECORDED_SECRETS: Final = ("shop", "bank")
BACKUP: Final = "restore it from a backup (`cinesync backup restore`, or a copy of the folder)"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A part that is missing or belongs to another shop; the sentence says what to do.

    `only_ledger`: the shop can sell without it, and its ledger entries wait.
    """

    sentence: str
    only_ledger: bool = False


class Inventory:
    """The recorded parts of one data folder, compared with what is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / FILE
        self.postgres = folder / "postgres" / "data"
        self.bank = folder / "bank.sqlite"
        self.ledger = folder / "ledger"

    def record(self, **made: str) -> None:
        """Record that these parts were made. Durable when it returns."""
        recorded = self.recorded()
        if made.items() <= recorded.items():
            return
        durable.write(self._file, json.dumps({**recorded, **made}, indent=1).encode())

    def recorded(self) -> dict[str, str]:
        """What is recorded, by part. Raises StartFailed when the file is damaged."""
        try:
            found: dict[str, str] = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return self._found_without_record()
        except (OSError, ValueError) as error:
            raise StartFailed(f"{self._file} cannot be read ({error}): {BACKUP}.") from error
        return found

    def _found_without_record(self) -> dict[str, str]:
        """The parts that an earlier version made; it made PostgreSQL last."""
        sold = _has_rows(self.bank, "charges") or any(
            _has_rows(chain, "entries") for chain in self.ledger.glob("validator-*/chain.sqlite")
        )
        if not sold and not (self.postgres / "PG_VERSION").exists():
            return {}
        made = (
            "postgres",
            "bank",
            "ledger",
            *(f"secret {name}" for name in UNRECORDED_SECRETS),
        )
        return dict.fromkeys(made, "")

    def record_broker(self, url: str) -> None:
        """Record whether events go through RabbitMQ, for commands that read them later."""
        self.record(broker="RabbitMQ" if url else "")

    @property
    def has_broker(self) -> bool:
        return bool(self.recorded().get("broker"))

    def record_existing(self) -> None:
        """Record databases and bank when the shop is up, whichever start made them."""
        made = {"postgres": "", "bank": ""}
        paths = {"postgres": self.postgres, "bank": self.bank}
        self.record(**{part: known for part, known in made.items() if paths[part].exists()})

    def record_secret(self, name: str) -> None:
        self.record(**{f"secret {name}": ""})

    def record_ledger(self) -> None:
        """Record the ledger with its genesis."""
        self.record(ledger=_sha256(self.ledger / GENESIS))

    def mismatches(self) -> list[Mismatch]:
        """What is recorded and missing, the fatal ones first."""
        recorded = self.recorded()
        found = [*self._missing_secrets(recorded), *self._missing_data(recorded)]
        found += self._ledger_mismatches(recorded) if "ledger" in recorded else []
        return sorted(found, key=lambda mismatch: mismatch.only_ledger)

    def check(self) -> list[str]:
        """What keeps the ledger from starting. Raises StartFailed for all other mismatches."""
        mismatches = self.mismatches()
        fatal = [mismatch.sentence for mismatch in mismatches if not mismatch.only_ledger]
        if fatal:
            raise StartFailed(f"{' '.join(fatal)} Nothing was changed.")
        return [mismatch.sentence for mismatch in mismatches]

    def check_secret(self, name: str) -> None:
        """Raises StartFailed when the secret was recorded and is missing."""
        for mismatch in self._missing_secrets(self.recorded()):
            if mismatch.sentence.startswith(str(self._secret(name))):
                raise StartFailed(f"{mismatch.sentence} Nothing was changed.")

    def _secret(self, name: str) -> Path:
        return self.folder / f"{name}.secret"

    def _missing_secrets(self, recorded: dict[str, str]) -> Iterator[Mismatch]:
        for part in recorded:
            kind, _, name = part.partition(" ")
            if kind == "secret" and not _has_text(self._secret(name)):
                yield Mismatch(
                    f"{self._secret(name)} is missing or empty, and data that needs it is there;"
                    f" a new one would not fit: {BACKUP}."
                )

    def _missing_data(self, recorded: dict[str, str]) -> Iterator[Mismatch]:
        parts = {
            "postgres": (self.postgres, "the databases", "the ledger and the bank's books"),
            "bank": (self.bank, "the sandbox bank's books", "the databases, whose money it has,"),
        }
        for part, (path, what, others) in parts.items():
            if part in recorded and not path.exists():
                yield Mismatch(
                    f"{path} is missing: {what} of this shop. A new one would contradict"
                    f" {others} that were made with it: {BACKUP}."
                )

    def _ledger_mismatches(self, recorded: dict[str, str]) -> Iterator[Mismatch]:
        client, genesis = self.ledger / "client-ledger" / GENESIS, self.ledger / GENESIS
        ours = recorded["ledger"]
        if not client.exists():
            yield Mismatch(
                f"{client} is missing: the home of the ledger service, whose ledger exists; a"
                f" new ledger would not know what was sold: {BACKUP}."
            )
        elif ours and _sha256(client) != ours:
            yield Mismatch(f"{client} is another ledger's, not the one of this shop: {BACKUP}.")
        elif not genesis.exists():
            yield Mismatch(
                f"{genesis} is missing, but this ledger exists, and its homes have copies:"
                f" `cp {client} {genesis}`, and start again.",
                only_ledger=True,
            )
        elif genesis.read_bytes() != client.read_bytes():
            yield Mismatch(
                f"{genesis} is another ledger's than {client}, the one of this shop:"
                f" `cp {client} {genesis}`, and start again.",
                only_ledger=True,
            )
        elif not any(self.ledger.glob("validator-*/journal.sqlite")):
            yield Mismatch(
                f"No validator in {self.ledger} has its journal: {BACKUP}.",
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
