"""Pages to look at the ledger with: blocks, validators, trees, receipts."""
