"""One validator of the ledger: consensus over the network, its chain and its journal on disk."""
