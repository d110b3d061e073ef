"""What anyone can verify offline: entries, headers, receipts and the proofs between them. Pure."""
