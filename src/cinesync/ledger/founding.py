"""`cinesync ledger init`: keys, genesis, certificates and addresses for n validators.

Each of the folders made is whole: copied to its machine it needs nothing from the others.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from cinesync.chassis import clock
from cinesync.ledger import entries, keys
from cinesync.ledger.genesis import VALIDATORS_MAX, VALIDATORS_MIN, Genesis
from cinesync.ledger.journal import open_journal
from cinesync.ledger.keys import PrivateKey
from cinesync.pbft.messages import Client, Configuration, Validator
from cinesync.pbft.replica import birth

CERTIFICATE_DAYS: Final = 3650
SERVICE: Final = "ledger"
OPERATOR: Final = "operator"
GENESIS_FILE: Final = "genesis.json"
NETWORK_FILE: Final = "network.json"
AUTHORITY_FILE: Final = "ca.pem"
KEY_FILE: Final = "key.pem"
CERTIFICATE_FILE: Final = "cert.pem"
JOURNAL_FILE: Final = "journal.sqlite"
CHAIN_FILE: Final = "chain.sqlite"


class FoundingFailed(Exception):
    """The ledger cannot be founded; the message says why."""


def validator_home(folder: Path, replica: int) -> Path:
    return folder / f"validator-{replica}"


def client_home(folder: Path, name: str = SERVICE) -> Path:
    return folder / f"client-{name}"


def init(folder: Path, addresses: Sequence[str], name: str = "cinesync") -> Genesis:
    """Found a ledger with one validator for each `host:port`. Raises FoundingFailed."""
    if not VALIDATORS_MIN <= len(addresses) <= VALIDATORS_MAX:
        raise FoundingFailed(f"a ledger has {VALIDATORS_MIN} to {VALIDATORS_MAX} validators")
    if (folder / GENESIS_FILE).exists():
        raise FoundingFailed(f"{folder} holds a ledger already; its keys cannot be made twice")
    homes = [validator_home(folder, at) for at in range(len(addresses))]
    homes += [client_home(folder, client) for client in (SERVICE, OPERATOR)]
    private = {home: keys.generate() for home in homes}
    public = [keys.public_bytes(key) for key in private.values()]
    now = clock.now()
    start = _genesis(name, now, public)
    authority = keys.generate()
    issuer = _certificate(authority, authority, "CineSync ledger", now, None)
    for home, key in private.items():
        home.mkdir(parents=True, mode=0o700)
        certificate = _certificate(key, authority, home.name, now, issuer)
        _write(home / KEY_FILE, keys.to_pem(key))
        _write(home / CERTIFICATE_FILE, _pem(certificate))
        _write(home / AUTHORITY_FILE, _pem(issuer))
        _write(home / GENESIS_FILE, start.encode())
    for home in homes[: len(addresses)]:
        _first_record(home, start)
    place(folder, dict(enumerate(addresses)))
    _write(folder / "ca-key.pem", keys.to_pem(authority))
    _write(folder / AUTHORITY_FILE, _pem(issuer))
    _write(folder / GENESIS_FILE, start.encode())  # last: it says that all the rest is there
    return start


def place(folder: Path, addresses: Mapping[int, str]) -> None:
    """Tell every home in the folder where the validators listen: no part of the genesis."""
    text = msgspec.json.encode({str(replica): address for replica, address in addresses.items()})
    for home in [*folder.glob("validator-*"), *folder.glob("client-*")]:
        _write(home / NETWORK_FILE, text)


def _genesis(name: str, now: datetime, public: Sequence[bytes]) -> Genesis:
    *validators, service, operator = public
    members = tuple(Validator(at, key) for at, key in enumerate(validators))
    clients = (Client(SERVICE, service), Client(OPERATOR, operator, operator=True))
    return Genesis(name, entries.microseconds(now), Configuration(0, members, clients))


def _first_record(home: Path, start: Genesis) -> None:
    journal, _ = open_journal(home / JOURNAL_FILE)
    journal.write(birth(start.configuration), replace=True)
    journal.close()


def _write(path: Path, data: bytes) -> None:
    """Readable by its owner only, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    key: PrivateKey,
    authority: PrivateKey,
    name: str,
    now: datetime,
    issuer: x509.Certificate | None,
) -> x509.Certificate:
    """By the authority; its own when there is no issuer yet."""
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
