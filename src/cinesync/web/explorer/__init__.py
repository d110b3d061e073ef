"""The ledger explorer: blocks, validators, trees, receipts."""
