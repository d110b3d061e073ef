"""The home of a validator or a client: the folder with its genesis, keys and addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from cinesync.chassis import durable, telemetry
from cinesync.pbft.messages import EpochLink, encode
from cinesync.proofs import genesis, keys
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.keys import PrivateKey
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.validator import provisioning

log = telemetry.get_logger(__name__)

ValidatorAddress = Annotated[str, msgspec.Meta(pattern=r"^.+:[0-9]{1,5}$")]

_LINKS: Final = msgspec.msgpack.Decoder(tuple[EpochLink, ...])


class NoHome(Exception):
    """The folder is not the home of a validator or a client; the message says why."""


@dataclass(frozen=True)
class Home:
    """The content of a home. `addresses`: `host:port` by validator."""

    folder: Path
    genesis: Genesis
    key: PrivateKey
    addresses: dict[int, str]

    @property
    def public_key(self) -> bytes:
        return keys.public_bytes(self.key)

    @property
    def key_files(self) -> Mapping[bytes, Path]:
        """Key files by public key. Before a re-key the next key is here too."""
        files = sorted(self.folder.glob(provisioning.KEY_FILES))
        return {keys.public_bytes(keys.from_pem(file.read_bytes())): file for file in files}

    def key_file(self, public_key: bytes) -> Path:
        """Raises NoHome."""
        file = self.key_files.get(public_key)
        if file is None:
            raise NoHome(f"{self.folder} lacks the key that is in force, {public_key.hex()[:16]}…")
        return file

    def private_key(self, public_key: bytes) -> PrivateKey:
        """Raises NoHome."""
        return keys.from_pem(self.key_file(public_key).read_bytes())

    @property
    def replica(self) -> int:
        """The number of the validator, from the name of the folder. Raises NoHome."""
        _, _, number = self.folder.name.rpartition("-")
        if not number.isdecimal():
            raise NoHome(f"{self.folder.name} is not named validator-<number>")
        return int(number)

    @property
    def client(self) -> str:
        """The name of the client with this key. Raises NoHome."""
        for client in self.genesis.configuration.clients:
            if client.public_key == self.public_key:
                return client.name
        raise NoHome(f"no client has the key in {self.folder}")


def load(folder: Path) -> Home:
    """Raises NoHome."""
    folder = folder.absolute()
    try:
        start = genesis.load((folder / provisioning.GENESIS_FILE).read_bytes())
        key = keys.from_pem((folder / provisioning.KEY_FILE).read_bytes())
    except (OSError, ValueError, InvalidDocument) as error:
        raise NoHome(f"{folder}: {error}") from error
    return Home(folder, start, key, read_addresses(folder))


def load_links(folder: Path) -> Sequence[EpochLink]:
    """The stored epoch links of this client; it learns missing ones from validators again."""
    try:
        return _LINKS.decode((folder / provisioning.LINKS_FILE).read_bytes())
    except (OSError, msgspec.DecodeError):
        return ()


def store_links(folder: Path, links: Sequence[EpochLink]) -> None:
    """Store the epoch links: receipts need them when no validator answers."""
    try:
        durable.write(folder / provisioning.LINKS_FILE, encode(tuple(links)))
    except OSError as error:
        log.warning("ledger.links_not_stored", error=str(error))


def read_addresses(folder: Path) -> dict[int, str]:
    """The current addresses of the validators. Raises NoHome."""
    try:
        network = (folder / provisioning.NETWORK_FILE).read_bytes()
        return msgspec.json.decode(network, type=dict[int, ValidatorAddress])
    except (OSError, ValueError) as error:
        raise NoHome(f"{folder}: {error}") from error
