"""Proofs that anyone can verify offline: entries, headers, receipts and Merkle proofs. Pure.

`cinesync verify` and the web app need nothing else of the ledger. Start with `verify.verify(bytes)`
for any proof file. For pages: `canonical_json` (RFC 8785), `merkle_log` (leaf hashes, roots,
paths), and `headers`, `entries`, `receipts`, `completeness` and `fraud`, each with `from_json`.

The error messages equal those of the verifier in the browser (`verify.js`); a test compares them.
"""
