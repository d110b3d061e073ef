"""The genesis of a chain: its first validators and its clients. Its hash identifies the chain."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from cinesync.pbft.messages import Client, Configuration, Validator
from cinesync.proofs import canonical_json, strict_json
from cinesync.proofs.keys import PUBLIC_KEY_BYTES
from cinesync.proofs.strict_json import InvalidDocument

FORMAT: Final = "cinesync-genesis/1"
DOMAIN: Final = b"cinesync/genesis/1\x00"
SET_DOMAIN: Final = b"cinesync/validators/1\x00"
VALIDATORS_MIN: Final = 4
VALIDATORS_MAX: Final = 256
CLIENTS_MAX: Final = 64
REPLICA_MAX: Final = 65_535


@dataclass(frozen=True)
class Genesis:
    """`time` is in microseconds since 1970; no block has an earlier time."""

    name: str
    time: int
    configuration: Configuration

    @cached_property
    def chain(self) -> bytes:
        return hashlib.sha256(DOMAIN + self.encode()).digest()

    def encode(self) -> bytes:
        return canonical_json.dump(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "time": self.time,
            "validators": validators_json(self.configuration.validators),
            "clients": [
                {"name": c.name, "public_key": c.public_key.hex(), "operator": c.operator}
                for c in self.configuration.clients
            ],
        }


def load(data: bytes) -> Genesis:
    """The content of a genesis file. Raises InvalidDocument."""
    try:
        value = canonical_json.load(data)
    except canonical_json.NotCanonical as error:
        raise InvalidDocument("genesis", str(error)) from error
    return from_json(value, "genesis")


def from_json(value: Any, where: str) -> Genesis:
    fields = strict_json.object_with(
        value, ("format", "name", "time", "validators", "clients"), where
    )
    if fields["format"] != FORMAT:
        raise InvalidDocument(f"{where}.format", f"not {FORMAT}")
    validators = _validators(fields["validators"], f"{where}.validators")
    clients = _clients(fields["clients"], f"{where}.clients")
    configuration = Configuration(0, validators, clients)
    if not configuration.is_consistent:
        raise InvalidDocument(where, "somebody is named twice")
    name = strict_json.text(fields["name"], f"{where}.name")
    return Genesis(name, strict_json.integer(fields["time"], f"{where}.time"), configuration)


def _validators(value: Any, where: str) -> tuple[Validator, ...]:
    found = strict_json.array(value, where, VALIDATORS_MAX)
    if len(found) < VALIDATORS_MIN:
        raise InvalidDocument(where, f"fewer than {VALIDATORS_MIN} tolerate no fault")
    return tuple(_validator(item, f"{where}[{at}]") for at, item in enumerate(found))


def _validator(value: Any, where: str) -> Validator:
    fields = strict_json.object_with(value, ("replica", "public_key"), where)
    return Validator(
        strict_json.integer(fields["replica"], f"{where}.replica", REPLICA_MAX),
        strict_json.hexadecimal(fields["public_key"], f"{where}.public_key", PUBLIC_KEY_BYTES),
    )


def _clients(value: Any, where: str) -> tuple[Client, ...]:
    found = strict_json.array(value, where, CLIENTS_MAX)
    return tuple(_client(item, f"{where}[{at}]") for at, item in enumerate(found))


def _client(value: Any, where: str) -> Client:
    fields = strict_json.object_with(value, ("name", "public_key", "operator"), where)
    return Client(
        strict_json.text(fields["name"], f"{where}.name"),
        strict_json.hexadecimal(fields["public_key"], f"{where}.public_key", PUBLIC_KEY_BYTES),
        strict_json.boolean(fields["operator"], f"{where}.operator"),
    )


def validators_json(validators: Sequence[Validator]) -> list[dict[str, Any]]:
    return [{"replica": v.replica, "public_key": v.public_key.hex()} for v in validators]


def set_hash(configuration: Configuration) -> bytes:
    """The hash of a set of validators, as in a block header."""
    validators = validators_json(configuration.validators)
    value = {"epoch": configuration.epoch, "validators": validators}
    return hashlib.sha256(SET_DOMAIN + canonical_json.dump(value)).digest()
