"""Response bodies of the ledger's API."""

from collections.abc import Sequence
from typing import Any

import msgspec

from cinesync.proofs import canonical_json, headers
from cinesync.validator.network.transport import ValidatorStatus


class StatusView(msgspec.Struct, frozen=True):
    """`height`: the highest that f + 1 validators reach. `waiting`: entries that no block has."""

    chain: str
    height: int | None
    waiting: int
    validators: Sequence[dict[str, Any]]


class BlockView(msgspec.Struct, frozen=True):
    """A block's header and its hash, and the certificate if this service has it."""

    height: int
    hash: str
    header: dict[str, Any]
    entries: Sequence[dict[str, Any]] = ()
    certificate: dict[str, Any] | None = None


class ConsistencyView(msgspec.Struct, frozen=True):
    """Proof that the log of `from_size` entries is a prefix of that of `to_size`."""

    from_size: int
    to_size: int
    path: Sequence[str]


def block_view(
    header: dict[str, Any],
    entries: Sequence[dict[str, Any]] = (),
    certificate: str | None = None,
) -> BlockView:
    """From a header and entries as validators report them, and a stored certificate."""
    return BlockView(
        height=header["height"],
        hash=headers.from_json(header, "header").hash.hex(),
        header=header,
        entries=[entry_view(one) for one in entries],
        certificate=msgspec.json.decode(certificate) if certificate else None,
    )


def entry_view(one: dict[str, Any]) -> dict[str, Any]:
    """An entry as a validator reports it, with its JSON decoded."""
    entry = canonical_json.load(one["entry"].encode())
    return {"index": one["index"], "height": one["height"], "entry": entry}


def validator_view(replica: int, status: ValidatorStatus | None) -> dict[str, Any]:
    """What a validator reports of itself, and whether it answers."""
    reported = msgspec.to_builtins(status) if status is not None else {}
    return {**reported, "replica": replica, "answers": status is not None}
