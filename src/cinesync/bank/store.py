"""The bank's database: SQLite, fsynced at every commit, so that kill -9 loses nothing."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from cinesync.bank.model import (
    STATEMENT_LINES_MAX,
    WEBHOOK_ATTEMPTS_MAX,
    BankCharge,
    BankChargeState,
    BankError,
    BankKeyReused,
    CardBehaviour,
    ChargeRequest,
    RefundOrder,
    RefundTooLarge,
    StatementEntry,
    UnknownCharge,
    behaviour_of,
)
from cinesync.chassis import clock

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS charges (
    charge_id TEXT PRIMARY KEY, reference TEXT NOT NULL, copy INTEGER NOT NULL,
    token TEXT NOT NULL, amount_cents INTEGER NOT NULL, currency TEXT NOT NULL,
    state TEXT NOT NULL, decline_code TEXT, return_url TEXT NOT NULL, due_at REAL,
    UNIQUE (reference, copy)
);
CREATE INDEX IF NOT EXISTS charges_due ON charges (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS lines (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, entry_id TEXT NOT NULL UNIQUE,
    charge_id TEXT NOT NULL, reference TEXT NOT NULL, amount_cents INTEGER NOT NULL,
    currency TEXT NOT NULL, at_seconds REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS lines_charge ON lines (charge_id);
CREATE TABLE IF NOT EXISTS webhooks (
    event_id TEXT PRIMARY KEY, body BLOB NOT NULL, due_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS webhooks_due ON webhooks (due_at);
"""
CHARGE_COLUMNS = "charge_id, reference, amount_cents, currency, state, decline_code, return_url"


@dataclass(frozen=True, slots=True)
class Delays:
    """How slow the slow cards are, in seconds."""

    late_seconds: float = 5.0
    confirm_seconds: float = 900.0
    webhook_seconds: float = 0.2


@dataclass(frozen=True, slots=True)
class ChargeResult:
    """A charge, and whether this request made it or an earlier one with the same key."""

    charge: BankCharge
    is_new: bool


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that the shop has not acknowledged yet."""

    event_id: str
    body: bytes
    attempts: int


class BankStore:
    """One connection behind a lock; call it from a worker thread, each call is a transaction."""

    def __init__(self, path: Path, delays: Delays) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._delays = delays
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        """Waits for the transaction that is running."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def charge(self, requests: Sequence[ChargeRequest]) -> list[ChargeResult | BankError]:
        """Charges for many requests with one fsync; a repeated request gets the same charge."""
        with self._transaction() as connection:
            return [_charge(connection, request, self._delays) for request in requests]

    def charges(self, reference: str) -> list[BankCharge]:
        """All charges with a reference, the oldest first."""
        with self._lock:
            return _charges(self._connection, reference)

    def find(self, charge_id: str) -> BankCharge:
        """Raises UnknownCharge."""
        with self._lock:
            return _find(self._connection, charge_id)

    def step(self, charge_id: str, step: str) -> BankCharge:
        """Captures, declines or cancels if the charge's state allows it. Raises UnknownCharge."""
        with self._transaction() as connection:
            charge = _find(connection, charge_id)
            return _step(connection, charge, step, self._delays)

    def process_due(self) -> int:
        """Captures late charges, cancels those that nobody confirmed. Returns how many were due."""
        with self._transaction() as connection:
            due = _due(connection)
            for charge in due:
                step = "capture" if charge.state is BankChargeState.PENDING else "cancel"
                _step(connection, charge, step, self._delays)
            return len(due)

    def refund(self, order: RefundOrder) -> StatementEntry:
        """Raises UnknownCharge, BankKeyReused, RefundTooLarge."""
        with self._transaction() as connection:
            return _refund(connection, order)

    def statement(self, after: int, limit: int) -> list[StatementEntry]:
        """Lines after `after`, in the order the money moved."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT seq, kind, entry_id, charge_id, reference, amount_cents, currency,"
                " at_seconds FROM lines WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, min(limit, STATEMENT_LINES_MAX)),
            )
            return [StatementEntry(*row) for row in rows]

    def webhooks_due(self, limit: int) -> list[Webhook]:
        """Webhooks to send now, the most overdue first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT event_id, body, attempts FROM webhooks WHERE due_at <= ? AND attempts < ?"
                " ORDER BY due_at LIMIT ?",
                (clock.now().timestamp(), WEBHOOK_ATTEMPTS_MAX, limit),
            )
            return [Webhook(*row) for row in rows]

    def webhooks_of(self, charge_id: str) -> list[Webhook]:
        """Webhooks about one charge, due or not."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT event_id, body, attempts FROM webhooks WHERE event_id = ?",
                (f"evt_{charge_id}",),
            )
            return [Webhook(*row) for row in rows]

    def webhook_delivered(self, event_id: str) -> None:
        """Delete a webhook that the shop has acknowledged."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM webhooks WHERE event_id = ?", (event_id,))

    def webhook_failed(self, event_id: str, wait_seconds: float) -> None:
        """Schedule the next attempt."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE webhooks SET attempts = attempts + 1, due_at = ? WHERE event_id = ?",
                (clock.now().timestamp() + wait_seconds, event_id),
            )


def _charges(connection: sqlite3.Connection, reference: str) -> list[BankCharge]:
    rows = connection.execute(
        f"SELECT {CHARGE_COLUMNS} FROM charges WHERE reference = ? ORDER BY copy",  # noqa: S608 a constant
        (reference,),
    )
    return [_as_charge(row) for row in rows]


def _find(connection: sqlite3.Connection, charge_id: str) -> BankCharge:
    row = connection.execute(
        f"SELECT {CHARGE_COLUMNS} FROM charges WHERE charge_id = ?",  # noqa: S608 a constant
        (charge_id,),
    ).fetchone()
    if row is None:
        raise UnknownCharge
    return _as_charge(row)


def _due(connection: sqlite3.Connection) -> list[BankCharge]:
    rows = connection.execute(
        f"SELECT {CHARGE_COLUMNS} FROM charges"  # noqa: S608 a constant
        " WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at LIMIT 100",
        (clock.now().timestamp(),),
    )
    return [_as_charge(row) for row in rows]


def _as_charge(row: tuple[str, str, int, str, str, str | None, str]) -> BankCharge:
    charge_id, reference, amount_cents, currency, state, decline_code, return_url = row
    return BankCharge(
        charge_id,
        reference,
        amount_cents,
        currency,
        BankChargeState(state),
        decline_code,
        return_url,
    )


def _charge(
    connection: sqlite3.Connection, request: ChargeRequest, delays: Delays
) -> ChargeResult | BankError:
    earlier = connection.execute(
        "SELECT amount_cents, currency, token FROM charges WHERE reference = ? AND copy = 0",
        (request.reference,),
    ).fetchone()
    if earlier is not None:
        same = earlier == (request.amount_cents, request.currency, request.token)
        return (
            ChargeResult(_charges(connection, request.reference)[0], is_new=False)
            if same
            else BankKeyReused()
        )
    try:
        behaviour = behaviour_of(request.token)
    except BankError as error:
        return error
    copies = [
        _open(connection, request, behaviour, copy, delays) for copy in range(behaviour.copies)
    ]
    return ChargeResult(copies[0], is_new=True)


def _open(
    connection: sqlite3.Connection,
    request: ChargeRequest,
    behaviour: CardBehaviour,
    copy: int,
    delays: Delays,
) -> BankCharge:
    charge = BankCharge(
        _new_charge_id(),
        request.reference,
        request.amount_cents,
        request.currency,
        behaviour.state,
        behaviour.decline_code,
        request.return_url,
    )
    connection.execute(
        "INSERT INTO charges (charge_id, reference, copy, token, amount_cents, currency, state,"
        " decline_code, return_url, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            charge.charge_id,
            charge.reference,
            copy,
            request.token,
            charge.amount_cents,
            charge.currency,
            charge.state,
            charge.decline_code,
            charge.return_url,
            _due_at(behaviour.state, delays),
        ),
    )
    if charge.state is BankChargeState.CAPTURED:
        _write_line(connection, "capture", charge.charge_id, charge, charge.amount_cents)
    if behaviour.by_webhook:
        _notify(connection, charge, delays)
    return charge


def _new_charge_id() -> str:
    return f"ch_{clock.new_id().hex}"


def _due_at(state: BankChargeState, delays: Delays) -> float | None:
    waits = {
        BankChargeState.PENDING: delays.late_seconds,
        BankChargeState.ACTION: delays.confirm_seconds,
    }
    return clock.now().timestamp() + waits[state] if state in waits else None


def _step(
    connection: sqlite3.Connection, charge: BankCharge, step: str, delays: Delays
) -> BankCharge:
    moved = charge.after(step)
    if moved.state is charge.state:
        return charge
    if moved.state is not BankChargeState.CAPTURED:
        moved = replace(moved, decline_code=f"confirmation_{moved.state}")
    connection.execute(
        "UPDATE charges SET state = ?, decline_code = ?, due_at = NULL WHERE charge_id = ?",
        (moved.state, moved.decline_code, moved.charge_id),
    )
    if moved.state is BankChargeState.CAPTURED:
        _write_line(connection, "capture", moved.charge_id, moved, moved.amount_cents)
    _notify(connection, moved, delays)
    return moved


def _refund(connection: sqlite3.Connection, order: RefundOrder) -> StatementEntry:
    charge = _find(connection, order.charge_id)
    earlier = _line(connection, order.refund_id)
    if earlier is not None:
        if (earlier.charge_id, earlier.amount_cents) != (order.charge_id, order.amount_cents):
            raise BankKeyReused
        return earlier
    left_cents: int = connection.execute(
        "SELECT COALESCE(SUM(CASE kind WHEN 'capture' THEN amount_cents ELSE -amount_cents END), 0)"
        " FROM lines WHERE charge_id = ?",
        (order.charge_id,),
    ).fetchone()[0]
    if order.amount_cents > left_cents:
        raise RefundTooLarge(f"{left_cents} cents are left")
    return _write_line(connection, "refund", order.refund_id, charge, order.amount_cents)


def _line(connection: sqlite3.Connection, entry_id: str) -> StatementEntry | None:
    row = connection.execute(
        "SELECT seq, kind, entry_id, charge_id, reference, amount_cents, currency, at_seconds"
        " FROM lines WHERE entry_id = ?",
        (entry_id,),
    ).fetchone()
    return None if row is None else StatementEntry(*row)


def _write_line(
    connection: sqlite3.Connection, kind: str, entry_id: str, charge: BankCharge, amount_cents: int
) -> StatementEntry:
    at_seconds = clock.now().timestamp()
    entry = (kind, entry_id, charge.charge_id, charge.reference, amount_cents, charge.currency)
    cursor = connection.execute(
        "INSERT INTO lines (kind, entry_id, charge_id, reference, amount_cents, currency,"
        " at_seconds) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*entry, at_seconds),
    )
    return StatementEntry(int(cursor.lastrowid or 0), *entry, at_seconds)


def _notify(connection: sqlite3.Connection, charge: BankCharge, delays: Delays) -> None:
    """Queues the only webhook of a charge, when it is decided."""
    body = msgspec.json.encode(
        {"event_id": f"evt_{charge.charge_id}", "type": f"charge.{charge.state}", "charge": charge}
    )
    connection.execute(
        "INSERT INTO webhooks (event_id, body, due_at) VALUES (?, ?, ?)",
        (f"evt_{charge.charge_id}", body, clock.now().timestamp() + delays.webhook_seconds),
    )
