"""Backups of a whole shop: `cinesync backup create`, `verify`, `restore`.

**One point in time.** PostgreSQL's base backup ends at a point of its log; all databases are as at
that point. The bank's books, the secrets and the chain are copied after it, so they hold at least
what the databases know. `restore` removes what they hold beyond the point.

**A new ledger.** A restored shop does not continue the old chain. Customers may have receipts for
blocks above the point; signing other blocks at those heights would contradict them. So a backup has
no private key of a validator, and `restore` creates a new chain, whose genesis names the head of
the old one. The ledger service submits all its entries again. Old receipts verify with the old
genesis, new ones with the new genesis; as they name different chains, they never contradict each
other (ADR 19).
"""
