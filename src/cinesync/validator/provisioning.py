"""`cinesync ledger init`: create keys, genesis, certificates and addresses for n validators.

Each home is complete: on its machine it needs nothing from the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from cinesync.chassis import clock, durable
from cinesync.chassis.durable import write
from cinesync.pbft.messages import Client, Configuration, Validator
from cinesync.pbft.replica import initial_log
from cinesync.proofs import entries, genesis, keys
from cinesync.proofs.genesis import VALIDATORS_MAX, VALIDATORS_MIN, Genesis
from cinesync.proofs.keys import PrivateKey
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.validator.storage.journal import open_journal

CERTIFICATE_DAYS: Final = 3650
SERVICE: Final = "ledger"
OPERATOR: Final = "operator"
GENESIS_FILE: Final = "genesis.json"
NETWORK_FILE: Final = "network.json"
AUTHORITY_FILE: Final = "ca.pem"
AUTHORITY_KEY_FILE: Final = "ca-key.pem"
KEY_FILE: Final = "key.pem"
CERTIFICATE_FILE: Final = "cert.pem"
KEY_FILES: Final = "key*.pem"  # later keys have a part of their public key in the name
LINKS_FILE: Final = "links"
JOURNAL_FILE: Final = "journal.sqlite"
CHAIN_FILE: Final = "chain.sqlite"


class ProvisioningFailed(Exception):
    """The ledger, validator or key cannot be created; the message says why."""


def validator_home(folder: Path, replica: int) -> Path:
    return folder / f"validator-{replica}"


def client_home(folder: Path, name: str = SERVICE) -> Path:
    return folder / f"client-{name}"


def init(folder: Path, addresses: Sequence[str], name: str = "cinesync") -> Genesis:
    """Create a ledger with one validator for each `host:port`. Raises ProvisioningFailed."""
    if not VALIDATORS_MIN <= len(addresses) <= VALIDATORS_MAX:
        raise ProvisioningFailed(f"a ledger has {VALIDATORS_MIN} to {VALIDATORS_MAX} validators")
    if (folder / GENESIS_FILE).exists():
        raise ProvisioningFailed(f"{folder} holds a ledger already; its keys cannot be made twice")
    if folder.exists() and any(folder.iterdir()):
        raise ProvisioningFailed(
            f"{folder} is not empty, and holds no ledger; choose another folder"
        )
    with durable.made_whole(folder) as unfinished:
        return _init(unfinished, addresses, name)


def _init(folder: Path, addresses: Sequence[str], name: str) -> Genesis:
    homes = [validator_home(folder, at) for at in range(len(addresses))]
    homes += [client_home(folder, client) for client in (SERVICE, OPERATOR)]
    private = {home: keys.generate() for home in homes}
    public = [keys.public_bytes(key) for key in private.values()]
    start = _genesis(name, clock.now(), public)
    authority = _new_authority()
    for home, key in private.items():
        _write_home(home, key, authority, start)
    for home in homes[: len(addresses)]:
        _write_initial_journal(home, start)
    write_addresses(folder, dict(enumerate(addresses)))
    write(folder / AUTHORITY_KEY_FILE, keys.to_pem(authority.key))
    write(folder / AUTHORITY_FILE, _pem(authority.certificate))
    write(folder / GENESIS_FILE, start.encode())
    return start


def create_validator(folder: Path, replica: int) -> bytes:
    """Create the home of another validator; its public key. Raises ProvisioningFailed."""
    home = validator_home(folder, replica)
    if home.exists():
        raise ProvisioningFailed(f"{home} exists already")
    start, key = _load_genesis(folder), keys.generate()
    authority = _load_authority(folder)
    with durable.made_whole(home) as unfinished:
        _write_home(unfinished, key, authority, start, home.name)
        _write_initial_journal(unfinished, start)
    return keys.public_bytes(key)


def create_key(folder: Path, replica: int) -> bytes:
    """Create another key in a validator's home; its public half. Raises ProvisioningFailed."""
    home, key = validator_home(folder, replica), keys.generate()
    if not home.exists():
        raise ProvisioningFailed(f"there is no {home} to put a new key into")
    name = keys.public_bytes(key)[1:5].hex()
    certificate = _load_authority(folder).issue(key, home.name)
    write(home / f"cert-{name}.pem", _pem(certificate))
    write(home / f"key-{name}.pem", keys.to_pem(key))
    return keys.public_bytes(key)


def certificate_file(key_file: Path) -> Path:
    return key_file.with_name(key_file.name.replace("key", "cert", 1))


@dataclass(frozen=True)
class Authority:
    """The CA of the ledger's TLS certificates. It has no power over the chain."""

    key: PrivateKey
    certificate: x509.Certificate

    def issue(self, key: PrivateKey, name: str) -> x509.Certificate:
        return _certificate(key, self.key, name, self.certificate)


def _new_authority() -> Authority:
    key = keys.generate()
    return Authority(key, _certificate(key, key, "CineSync ledger", None))


def _load_authority(folder: Path) -> Authority:
    try:
        key = keys.from_pem((folder / AUTHORITY_KEY_FILE).read_bytes())
        certificate = x509.load_pem_x509_certificate((folder / AUTHORITY_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise ProvisioningFailed(f"new certificates need {AUTHORITY_KEY_FILE}: {error}") from error
    return Authority(key, certificate)


def _load_genesis(folder: Path) -> Genesis:
    try:
        return genesis.load((folder / GENESIS_FILE).read_bytes())
    except (OSError, InvalidDocument) as error:
        raise ProvisioningFailed(f"there is no ledger in {folder}: {error}") from error


def _write_home(
    home: Path, key: PrivateKey, authority: Authority, start: Genesis, name: str = ""
) -> None:
    home.mkdir(parents=True, mode=0o700, exist_ok=True)
    write(home / KEY_FILE, keys.to_pem(key))
    write(home / CERTIFICATE_FILE, _pem(authority.issue(key, name or home.name)))
    write(home / AUTHORITY_FILE, _pem(authority.certificate))
    write(home / GENESIS_FILE, start.encode())


def write_addresses(folder: Path, addresses: Mapping[int, str]) -> None:
    """Write the validators' addresses into every home. They are not part of the genesis."""
    text = msgspec.json.encode({str(replica): address for replica, address in addresses.items()})
    for home in [*folder.glob("validator-*"), *folder.glob("client-*")]:
        write(home / NETWORK_FILE, text)


def _genesis(name: str, now: datetime, public: Sequence[bytes]) -> Genesis:
    *validators, service, operator = public
    members = tuple(Validator(at, key) for at, key in enumerate(validators))
    clients = (Client(SERVICE, service), Client(OPERATOR, operator, operator=True))
    return Genesis(name, entries.microseconds(now), Configuration(0, members, clients))


def _write_initial_journal(home: Path, start: Genesis) -> None:
    journal, _ = open_journal(home / JOURNAL_FILE)
    journal.write(initial_log(start.configuration), replace=True)
    journal.close()


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    key: PrivateKey,
    authority: PrivateKey,
    name: str,
    issuer: x509.Certificate | None,
) -> x509.Certificate:
    """A certificate signed by the authority; self-signed when there is no issuer."""
    now = clock.now()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    is_authority = issuer is None
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name.lower().replace(" ", "-"))]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            critical=False,
        )
    )
    return builder.sign(authority, hashes.SHA256())
