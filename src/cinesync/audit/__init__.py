"""`cinesync audit`: the promises recomputed from the databases, the providers and the ledger.

Every check is passed, failed or not made. A check reads in pages by key, or side by side with a
sorted copy on disk, so that memory does not grow with the shop.
"""
