"""The ledger service: it brings every payment and booking into a chain that anyone can verify.

Owns submissions, in batches, and what receipts are made of; the validators own the chain. Emits
ledger.committed; consumes payment.* and booking.*. No checkout waits for it.
"""
