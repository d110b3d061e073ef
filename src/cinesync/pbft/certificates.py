"""Checks of signatures and certificates: signed by whom, and by enough of them?"""

from collections.abc import Iterable, Mapping

from cinesync.pbft.messages import (
    NULL_DIGEST,
    Checkpoint,
    CheckpointState,
    Commit,
    Configuration,
    Decided,
    EpochLink,
    Prepare,
    PreparedProof,
    PrePrepare,
    Request,
    SignedMessage,
    StableProof,
    Vote,
    digest,
    digest_of,
    payload,
)
from cinesync.pbft.ports import Keys


def signed(keys: Keys, configuration: Configuration, message: SignedMessage) -> bool:
    key = configuration.key(message.replica)
    return (
        key is not None
        and message.epoch == configuration.epoch
        and keys.verify(key, payload(message), message.signature)
    )


def request_signed(keys: Keys, configuration: Configuration, request: Request) -> bool:
    """Whether a client of this epoch signed it; a change of configuration needs an operator."""
    client = configuration.client(request.client)
    return (
        client is not None
        and (request.change is None or client.operator)
        and keys.verify(client.public_key, payload(request), request.signature)
    )


def _distinct(votes: Iterable[Vote], enough: int) -> bool:
    """Enough voters in rising order: none counts twice, and the encoding is unique."""
    voters = [vote.replica for vote in votes]
    return len(voters) >= enough and voters == sorted(set(voters))


def stable(keys: Keys, configurations: Mapping[int, Configuration], proof: StableProof) -> bool:
    """A checkpoint certificate (4.3). The genesis state needs no votes."""
    if proof.height == 0:
        return (proof.epoch, proof.digest, proof.votes) == (0, NULL_DIGEST, ())
    configuration = configurations.get(proof.epoch)
    return (
        configuration is not None
        and _distinct(proof.votes, configuration.quorum)
        and all(
            signed(keys, configuration, Checkpoint(*_vote(vote, proof), proof.height, proof.digest))
            for vote in proof.votes
        )
    )


def prepared(keys: Keys, configuration: Configuration, proof: PreparedProof) -> bool:
    """A pre-prepare by the view's primary and prepares by enough *backups* (4.2)."""
    primary = configuration.primary(proof.view)
    ballot = (proof.view, proof.height, proof.digest)
    return (
        proof.proposal.replica == primary
        and _distinct(proof.votes, configuration.quorum - 1)
        and all(vote.replica != primary for vote in proof.votes)
        and signed(keys, configuration, PrePrepare(*_vote(proof.proposal, proof), *ballot))
        and all(
            signed(keys, configuration, Prepare(*_vote(vote, proof), *ballot))
            for vote in proof.votes
        )
    )


def decided(keys: Keys, configuration: Configuration, proof: Decided) -> bool:
    """A commit certificate and the block that it names: enough to apply the block."""
    ballot = (proof.view, proof.height, proof.digest)
    return (
        digest_of(proof.block) == proof.digest
        and _distinct(proof.votes, configuration.quorum)
        and all(
            signed(keys, configuration, Commit(*_vote(vote, proof), *ballot))
            for vote in proof.votes
        )
    )


def links(keys: Keys, configurations: Mapping[int, Configuration], link: EpochLink) -> bool:
    """Whether a quorum of the old configuration signed a state that names the next one."""
    return (
        names(link.proof, link.state)
        and link.state.configuration.epoch == link.proof.epoch + 1
        and stable(keys, configurations, link.proof)
    )


def names(proof: StableProof, state: CheckpointState) -> bool:
    return proof.height == state.height and proof.digest == digest(state)


def _vote(vote: Vote, proof: StableProof | PreparedProof | Decided) -> tuple[int, bytes, int]:
    return vote.replica, vote.signature, proof.epoch
