"""The entries that the ledger must have for each payment, refund, booking and cancellation.

A row of a service's database and an entry of the ledger each make a sentence of the same form. If
the two differ, the finding shows both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Uuid

from cinesync.chassis.database import Statement, text
from cinesync.proofs.entries import LedgerEntry


@dataclass(frozen=True, slots=True)
class ExpectedEntry:
    """One row of a service's database that must be in the ledger."""

    subject: UUID
    sentence: str
    happened_at: datetime


@dataclass(frozen=True, slots=True)
class EntryKind:
    """One kind of entry: the rows that it must match, and the sentences of rows and entries.

    `rows` reads a page by key: subject, happened_at, and the columns that `of_row` needs.
    """

    name: str
    database: Literal["payment", "booking"]
    rows: Statement
    subject: Callable[[LedgerEntry], str]
    of_row: Callable[[Any], str]
    of_entry: Callable[[LedgerEntry], str]

    def expected(self, row: Any) -> ExpectedEntry:
        return ExpectedEntry(row.subject, self.of_row(row), row.happened_at)


def _page(columns: str, table: str, key: str, condition: str) -> Statement:
    return text(
        f"SELECT {key} AS subject, {columns} FROM {table}"  # noqa: S608 constants
        f" WHERE {key} > :after AND {condition} ORDER BY {key} ASC LIMIT :limit",
        after=Uuid,
        limit=BigInteger,
    )


def _fact(entry: LedgerEntry, name: str) -> Any:
    return entry.facts.get(name, "nothing")


def _seats(entry: LedgerEntry) -> str:
    seats = entry.facts.get("seats")
    return " ".join(sorted(seats)) if isinstance(seats, list) else "nothing"


def _row_seats(row: Any) -> str:
    seats = msgspec.json.decode(row.seats) if isinstance(row.seats, str) else row.seats
    return " ".join(sorted(item["seat"] for item in seats))


def _paid(amount: Any, currency: Any, provider: Any, hold_id: Any) -> str:
    return f"{amount} {currency} by {provider} for hold {hold_id}"


def _refunded(amount: Any, currency: Any, payment_id: Any) -> str:
    return f"{amount} {currency} of payment {payment_id}"


def _failed(amount: Any, currency: Any, refund_id: Any, was_refunded: Any) -> str:
    after = "after it was made" if was_refunded is True else "before it was made"
    return f"{amount} {currency} of refund {refund_id}, {after}"


def _disputed(amount: Any, currency: Any, dispute_id: Any, status: Any) -> str:
    return f"{amount} {currency} of dispute {dispute_id}, {status}"


def _names(row: Any) -> str:
    seats = msgspec.json.decode(row.seats) if isinstance(row.seats, str) else row.seats
    return " ".join(sorted(seats))


def _reduced(amount: Any, currency: Any, booking_id: Any, seats: str) -> str:
    return f"{amount} {currency} of booking {booking_id}, seats {seats}"


def _confirmed(total: Any, currency: Any, payment_id: Any, show_id: Any, seats: str) -> str:
    return f"{total} {currency} of payment {payment_id} for show {show_id}, seats {seats}"


KINDS: Final = (
    EntryKind(
        "payment.success",
        "payment",
        _page(
            "amount_cents, currency, provider, hold_id,"
            " COALESCE(settled_at, created_at) AS happened_at",
            "payments",
            "payment_id",
            "status IN ('success', 'partially_refunded', 'refunded')",
        ),
        lambda entry: str(_fact(entry, "payment_id")),
        lambda row: _paid(row.amount_cents, row.currency, row.provider, row.hold_id),
        lambda entry: _paid(
            _fact(entry, "amount_cents"),
            _fact(entry, "currency"),
            _fact(entry, "provider"),
            entry.booking_id,
        ),
    ),
    EntryKind(
        "payment.refunded",
        "payment",
        _page(
            "amount_cents, currency, payment_id, COALESCE(done_at, created_at) AS happened_at",
            "refunds",
            "refund_id",
            "done_at IS NOT NULL",
        ),
        lambda entry: str(_fact(entry, "refund_id")),
        lambda row: _refunded(row.amount_cents, row.currency, row.payment_id),
        lambda entry: _refunded(
            _fact(entry, "amount_cents"), _fact(entry, "currency"), _fact(entry, "payment_id")
        ),
    ),
    # The subject of these two is the event: a refund may fail again, a dispute changes its state.
    EntryKind(
        "payment.refund.failed",
        "payment",
        _page(
            "amount_cents, currency, refund_id, was_refunded, failed_at AS happened_at",
            "refund_failures",
            "event_id",
            "TRUE",
        ),
        lambda entry: entry.event_id,
        lambda row: _failed(row.amount_cents, row.currency, row.refund_id, row.was_refunded),
        lambda entry: _failed(
            _fact(entry, "amount_cents"),
            _fact(entry, "currency"),
            _fact(entry, "refund_id"),
            _fact(entry, "was_refunded"),
        ),
    ),
    EntryKind(
        "payment.disputed",
        "payment",
        _page(
            "amount_cents, currency, dispute_id, status, changed_at AS happened_at",
            "dispute_changes",
            "event_id",
            "TRUE",
        ),
        lambda entry: entry.event_id,
        lambda row: _disputed(row.amount_cents, row.currency, row.dispute_id, row.status),
        lambda entry: _disputed(
            _fact(entry, "amount_cents"),
            _fact(entry, "currency"),
            _fact(entry, "dispute_id"),
            _fact(entry, "status"),
        ),
    ),
    EntryKind(
        "booking.confirmed",
        "booking",
        _page(
            "total_cents, currency, payment_id, show_id, seats || cancelled_seats AS seats,"
            " COALESCE(confirmed_at, created_at) AS happened_at",
            "bookings",
            "booking_id",
            "state IN ('confirmed', 'cancelled')",
        ),
        lambda entry: entry.booking_id,
        lambda row: _confirmed(
            row.total_cents, row.currency, row.payment_id, row.show_id, _row_seats(row)
        ),
        lambda entry: _confirmed(
            _fact(entry, "total_cents"),
            _fact(entry, "currency"),
            _fact(entry, "payment_id"),
            _fact(entry, "show_id"),
            _seats(entry),
        ),
    ),
    EntryKind(
        "booking.cancelled",
        "booking",
        _page(
            # Of bookings that ended before there were refunds of parts, all went back.
            "COALESCE((SELECT f.refund_cents FROM booking_refunds f WHERE f.whole"
            " AND f.booking_id = bookings.booking_id), bookings.refund_cents) AS refund_cents,"
            " currency, payment_id, COALESCE(cancelled_at, created_at) AS happened_at",
            "bookings",
            "booking_id",
            "state = 'cancelled'",
        ),
        lambda entry: entry.booking_id,
        lambda row: _refunded(row.refund_cents, row.currency, row.payment_id),
        lambda entry: _refunded(
            _fact(entry, "refund_cents"), _fact(entry, "currency"), _fact(entry, "payment_id")
        ),
    ),
    EntryKind(
        "booking.reduced",
        "booking",
        _page(
            "refund_cents, currency, booking_id, seats, refunded_at AS happened_at",
            "booking_refunds",
            "refund_id",
            "NOT whole",
        ),
        lambda entry: str(_fact(entry, "reduction_id")),
        lambda row: _reduced(row.refund_cents, row.currency, row.booking_id, _names(row)),
        lambda entry: _reduced(
            _fact(entry, "refund_cents"),
            _fact(entry, "currency"),
            entry.booking_id,
            _seats(entry),
        ),
    ),
    EntryKind(
        "booking.refused",
        "booking",
        _page(
            "refund_cents, currency, hold_id, reason, refused_at AS happened_at",
            "refused_payments",
            "payment_id",
            "TRUE",
        ),
        lambda entry: str(_fact(entry, "payment_id")),
        lambda row: f"{row.refund_cents} {row.currency} for hold {row.hold_id}: {row.reason}",
        lambda entry: (
            f"{_fact(entry, 'refund_cents')} {_fact(entry, 'currency')}"
            f" for hold {entry.booking_id}: {_fact(entry, 'reason')}"
        ),
    ),
)
BY_NAME: Final[Mapping[str, EntryKind]] = {kind.name: kind for kind in KINDS}
