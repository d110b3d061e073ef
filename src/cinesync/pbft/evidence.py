"""Proof of Byzantine behaviour: two statements that no honest validator signs both."""

from cinesync.pbft import certificates
from cinesync.pbft.messages import (
    Attestation,
    Checkpoint,
    Commit,
    Configuration,
    Decided,
    Prepare,
    PrePrepare,
)
from cinesync.pbft.ports import Keys

SignedStatement = PrePrepare | Prepare | Commit | Checkpoint | Attestation


def contradict(
    keys: Keys, configuration: Configuration, one: SignedStatement, other: SignedStatement
) -> bool:
    """Whether one validator signed both, about the same slot, with different digests."""
    return (
        type(one) is type(other)
        and one.replica == other.replica
        and _slot_of(one) == _slot_of(other)
        and one.digest != other.digest
        and certificates.signed(keys, configuration, one)
        and certificates.signed(keys, configuration, other)
    )


def _slot_of(statement: SignedStatement) -> tuple[int, ...]:
    if isinstance(statement, PrePrepare | Prepare | Commit):
        return statement.epoch, statement.view, statement.height
    return statement.epoch, statement.height


def equivocators(
    keys: Keys, configuration: Configuration, one: Decided, other: Decided
) -> set[int]:
    """The validators that committed to both of two conflicting blocks of one height and view.

    Two quorums share f + 1 validators, so a fork made within a view names at least f + 1.
    """
    if not (
        certificates.decided(keys, configuration, one)
        and certificates.decided(keys, configuration, other)
    ):
        return set()
    same = (one.view, one.height) == (other.view, other.height) and one.digest != other.digest
    voters = {vote.replica for vote in one.votes} & {vote.replica for vote in other.votes}
    return voters if same else set()
