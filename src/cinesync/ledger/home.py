"""What a validator or a client of the ledger finds in its folder."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from cinesync.ledger import founding, genesis, keys
from cinesync.ledger.genesis import Genesis
from cinesync.ledger.keys import PrivateKey
from cinesync.ledger.shapes import Invalid


class NoHome(Exception):
    """This folder is no validator's or client's home; the message says why."""


@dataclass(frozen=True)
class Home:
    """`addresses` is `host:port` by validator."""

    folder: Path
    genesis: Genesis
    key: PrivateKey
    addresses: dict[int, str]

    @property
    def public_key(self) -> bytes:
        return keys.public_bytes(self.key)

    @property
    def replica(self) -> int:
        """The validator that lives here, by the name of its folder. Raises NoHome."""
        _, _, number = self.folder.name.rpartition("-")
        if not number.isdecimal():
            raise NoHome(f"{self.folder.name} is not named validator-<number>")
        return int(number)

    @property
    def client(self) -> str:
        """The client that lives here. Raises NoHome."""
        for client in self.genesis.configuration.clients:
            if client.public_key == self.public_key:
                return client.name
        raise NoHome(f"the key in {self.folder} is no client's")


def load(folder: Path) -> Home:
    """Raises NoHome."""
    folder = folder.absolute()
    try:
        start = genesis.load((folder / founding.GENESIS_FILE).read_bytes())
        key = keys.from_pem((folder / founding.KEY_FILE).read_bytes())
        network = (folder / founding.NETWORK_FILE).read_bytes()
        addresses = msgspec.json.decode(network, type=dict[int, str])
    except (OSError, ValueError, Invalid) as error:
        raise NoHome(f"{folder}: {error}") from error
    return Home(folder, start, key, addresses)
