"""`cinesync audit`: recompute the promises from the databases, the providers and the ledger.

Every check passes, fails or is not made. Checks read pages by key, and compare with an index on
disk, so memory does not grow with the data. `sources` says what an audit reads, `results` what a
check returns; `runner` runs the checks.
"""
