"""The history of the ledger service's database."""
