"""Databases: transactions that are retried, statements, migrations and leases."""

from cinesync.chassis.database.bulk import any_of, batch, insert_from, matches
from cinesync.chassis.database.database import Database, delete_old_markers, open_database
from cinesync.chassis.database.retry import (
    Contended,
    DatabaseAway,
    DatabaseFull,
    FateUnknown,
    sqlstate,
)
from cinesync.chassis.database.statements import Statement, binds, compiled, text
from cinesync.chassis.database.transaction import NotOneRow, Row, Rows, Transaction, database_now

__all__ = [
    "Contended",
    "Database",
    "DatabaseAway",
    "DatabaseFull",
    "FateUnknown",
    "NotOneRow",
    "Row",
    "Rows",
    "Statement",
    "Transaction",
    "any_of",
    "batch",
    "binds",
    "compiled",
    "database_now",
    "delete_old_markers",
    "insert_from",
    "matches",
    "open_database",
    "sqlstate",
    "text",
]
