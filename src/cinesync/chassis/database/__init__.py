"""Databases: transactions that are retried, statements, migrations and leases."""

from cinesync.chassis.database.bulk import any_of, batch, insert_from, matches
from cinesync.chassis.database.database import Database, open_database
from cinesync.chassis.database.statements import Statement, compiled, text
from cinesync.chassis.database.transaction import NotOneRow, Row, Rows, Transaction

__all__ = [
    "Database",
    "NotOneRow",
    "Row",
    "Rows",
    "Statement",
    "Transaction",
    "any_of",
    "batch",
    "compiled",
    "insert_from",
    "matches",
    "open_database",
    "text",
]
