"""The ledger room: every payment and booking as an entry of a chain that anyone can verify.

Owns submissions, in batches, and receipts; validators own their SQLite files. Emits
ledger.committed; consumes payment.* and booking.*. Nobody's checkout waits for it.
"""
