"""Backups that restore: `cinesync backup create`, `verify`, `restore`.

**One point.** PostgreSQL's base backup ends at a point of its log, and all five databases are as
they were there. Everything else is copied after that point, so that it holds at least what the
databases know: the sandbox bank's books, secrets, and the chain. What it holds beyond the point is
cut when the backup is restored: the databases decide.

**The ledger begins anew.** A restored shop does not go on with the old chain: receipts for blocks
above the point may be in customers' hands, and whoever signs at those heights again contradicts
them. So no private key of a validator is in a backup. Restoring founds a new chain, named after the
old one's head, and hands every submission that the ledger service keeps to it once more. Old
receipts verify with the old genesis, for ever; new ones with the new; the two name different
chains and cannot exclude each other (ADR 19).
"""
