"""One validator of the ledger: it drives consensus (`pbft`) over the network and a disk.

`driver` connects the replica, `state_machine` (what consensus orders), `storage` and `network`.
`home` and `provisioning` are the folders of validators and clients. `network.client` is the client
library, `certify` makes certificates and completeness proofs with it, `membership` changes the
validators, `inspection` and `watch` check the chain from outside.
"""
