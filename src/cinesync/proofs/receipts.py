"""Receipts: one JSON file proves that an entry is in the ledger.

A receipt contains the chain's genesis, a link for each change of the validators, a block header
signed by a quorum, and the path from the entry to the root in that header. A verifier that trusts
the genesis needs nothing else. A receipt has one encoding, and every byte of it is checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cinesync.pbft import certificates
from cinesync.pbft.messages import Attestation, Configuration, EpochLink, encode, payload
from cinesync.proofs import canonical_json, entries, genesis, headers, keys, merkle_log, strict_json
from cinesync.proofs.entries import LedgerEntry
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.strict_json import InvalidDocument

FORMAT: Final = "cinesync-receipt/1"
RECEIPT_BYTES_MAX: Final = 1024 * 1024
LINKS_MAX: Final = 64
LINK_BYTES_MAX: Final = 256 * 1024
SIGNED_MEMBERS: Final = ("format", "genesis", "links", "header", "certificate")
MEMBERS: Final = (*SIGNED_MEMBERS, "entry", "index", "path")

_LINK: Final = msgspec.msgpack.Decoder(EpochLink)


@dataclass(frozen=True)
class HeaderCertificate:
    """Signatures over a header by validators of one epoch."""

    epoch: int
    signatures: Mapping[int, bytes]

    def to_json(self) -> dict[str, Any]:
        signed = sorted(self.signatures.items())
        votes = [{"replica": replica, "signature": word.hex()} for replica, word in signed]
        return {"epoch": self.epoch, "signatures": votes}


@dataclass(frozen=True)
class CertifiedHeader:
    """A header, and everything needed to verify that a quorum signed it."""

    genesis: Genesis
    links: Sequence[EpochLink]
    header: BlockHeader
    certificate: HeaderCertificate

    def encode(self) -> bytes:
        return canonical_json.dump(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            "genesis": self.genesis.to_json(),
            "links": [encode(link).hex() for link in self.links],
            "header": self.header.to_json(),
            "certificate": self.certificate.to_json(),
        }


@dataclass(frozen=True)
class Receipt(CertifiedHeader):
    entry: LedgerEntry
    index: int
    path: Sequence[bytes]

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            **super().to_json(),
            "entry": self.entry.to_json(),
            "index": self.index,
            "path": [node.hex() for node in self.path],
        }


def verify(data: bytes, pinned: Genesis | None = None) -> Receipt:
    """The receipt in these bytes, fully checked. Raises InvalidDocument.

    Without a pinned genesis the receipt only proves itself consistent: anyone can make a chain.
    """
    receipt = verify_json(parsed(data, "receipt"), pinned)
    check_encoding(receipt, data, "receipt")
    return receipt


def parsed(data: bytes, where: str) -> Any:
    """The canonical JSON in a proof file. Raises InvalidDocument."""
    if len(data) > RECEIPT_BYTES_MAX:
        raise InvalidDocument(where, f"larger than {RECEIPT_BYTES_MAX} bytes")
    try:
        return canonical_json.load(data)
    except canonical_json.NotCanonical as error:
        raise InvalidDocument(where, str(error)) from error


def check_encoding(found: CertifiedHeader, data: bytes, where: str) -> None:
    """Refuse bytes that were not checked. Raises InvalidDocument."""
    if found.encode() != data:
        raise InvalidDocument(where, "contains more than was checked")


def verify_json(value: Any, pinned: Genesis | None = None, where: str = "receipt") -> Receipt:
    receipt = from_json(value, where)
    check_signed(receipt, pinned, where)
    _check_inclusion(receipt, where)
    return receipt


def check_signed(found: CertifiedHeader, pinned: Genesis | None, where: str) -> None:
    """Check that a quorum of the validators in force signed the header. Raises InvalidDocument."""
    _check_chain(found, pinned, where)
    configuration = check_links(found.genesis, found.links, f"{where}.links")
    check_signatures(found.header, found.certificate, configuration, where)


def from_json(value: Any, where: str) -> Receipt:
    """Check the structure only, no signature. Raises InvalidDocument."""
    fields = strict_json.object_with(value, MEMBERS, where)
    if fields["format"] != FORMAT:
        raise InvalidDocument(f"{where}.format", f"not {FORMAT}")
    entry = entry_from_json(fields["entry"], f"{where}.entry")
    signed = signed_from_json(fields, where)
    path = strict_json.array(fields["path"], f"{where}.path", merkle_log.PATH_MAX)
    return Receipt(
        **vars(signed),
        entry=entry,
        index=strict_json.integer(fields["index"], f"{where}.index"),
        path=[strict_json.hexadecimal(n, f"{where}.path[{at}]") for at, n in enumerate(path)],
    )


def signed_from_json(fields: Mapping[str, Any], where: str) -> CertifiedHeader:
    links = strict_json.array(fields["links"], f"{where}.links", LINKS_MAX)
    return CertifiedHeader(
        genesis=genesis.from_json(fields["genesis"], f"{where}.genesis"),
        links=[_link(item, f"{where}.links[{at}]") for at, item in enumerate(links)],
        header=headers.from_json(fields["header"], f"{where}.header"),
        certificate=certificate_from_json(fields["certificate"], f"{where}.certificate"),
    )


def entry_from_json(value: Any, where: str) -> LedgerEntry:
    """Raises InvalidDocument."""
    try:
        return entries.from_json(value)
    except entries.BadEntry as error:
        raise InvalidDocument(where, str(error)) from error


def certificate_from_json(value: Any, where: str) -> HeaderCertificate:
    fields = strict_json.object_with(value, ("epoch", "signatures"), where)
    where = f"{where}.signatures"
    found = strict_json.array(fields["signatures"], where, genesis.VALIDATORS_MAX)
    votes = [_vote(item, f"{where}[{at}]") for at, item in enumerate(found)]
    voters = [replica for replica, _ in votes]
    if voters != sorted(set(voters)):
        raise InvalidDocument(where, "not one each, in rising order")
    return HeaderCertificate(strict_json.integer(fields["epoch"], f"{where}.epoch"), dict(votes))


def _vote(value: Any, where: str) -> tuple[int, bytes]:
    fields = strict_json.object_with(value, ("replica", "signature"), where)
    replica = strict_json.integer(fields["replica"], f"{where}.replica", genesis.REPLICA_MAX)
    where = f"{where}.signature"
    return replica, strict_json.hexadecimal(fields["signature"], where, keys.SIGNATURE_BYTES)


def _link(value: Any, where: str) -> EpochLink:
    if not isinstance(value, str) or len(value) > 2 * LINK_BYTES_MAX:
        raise InvalidDocument(where, f"not a text of at most {2 * LINK_BYTES_MAX} digits")
    try:
        link: EpochLink = _LINK.decode(bytes.fromhex(value))
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise InvalidDocument(where, "not a change of validators") from error
    if encode(link).hex() != value:
        raise InvalidDocument(where, "not the canonical encoding")
    return link


def _check_chain(found: CertifiedHeader, pinned: Genesis | None, where: str) -> None:
    if pinned is not None and found.genesis.chain != pinned.chain:
        raise InvalidDocument(f"{where}.genesis", "not the pinned genesis: this is another chain")
    if found.header.chain != found.genesis.chain:
        raise InvalidDocument(f"{where}.header.chain", "not the hash of the genesis")
    if found.header.time < found.genesis.time:
        raise InvalidDocument(f"{where}.header.time", "before the genesis")


def check_links(start: Genesis, links: Sequence[EpochLink], where: str) -> Configuration:
    """The configuration that the links lead to, each signed by the one before."""
    configuration, ring = start.configuration, keys.KeyRing()
    for at, link in enumerate(links):
        known = {configuration.epoch: configuration}
        if link.proof.epoch != configuration.epoch or not certificates.links(ring, known, link):
            raise InvalidDocument(
                f"{where}[{at}]", "not signed by a quorum of the validators before"
            )
        configuration = link.state.configuration
    return configuration


def check_signatures(
    header: BlockHeader, certificate: HeaderCertificate, configuration: Configuration, where: str
) -> None:
    """Check that a quorum signed, and that every signature is valid. Raises InvalidDocument."""
    if header.validators != genesis.set_hash(configuration):
        raise InvalidDocument(
            f"{where}.header.validators", "not the hash of the validators in force"
        )
    if certificate.epoch != configuration.epoch:
        raise InvalidDocument(f"{where}.certificate.epoch", f"not {configuration.epoch}")
    where = f"{where}.certificate.signatures"
    if len(certificate.signatures) < configuration.quorum:
        count = len(certificate.signatures)
        raise InvalidDocument(where, f"{count} of the {configuration.quorum} that a quorum needs")
    for at, (replica, signature) in enumerate(certificate.signatures.items()):
        if configuration.key(replica) is None:
            raise InvalidDocument(f"{where}[{at}].replica", f"{replica} is no validator")
        if not attests(configuration, header, replica, signature):
            raise InvalidDocument(
                f"{where}[{at}].signature", f"not validator {replica}'s of this header"
            )


def attests(
    configuration: Configuration, header: BlockHeader, replica: int, signature: bytes
) -> bool:
    """Whether a validator of this epoch signed the header."""
    key = configuration.key(replica)
    statement = Attestation(replica, b"", configuration.epoch, header.height, header.hash)
    return key is not None and keys.verify(key, payload(statement), signature)


def _check_inclusion(receipt: Receipt, where: str) -> None:
    leaf = merkle_log.leaf_hash(receipt.entry.encode())
    size = receipt.header.size
    if receipt.index >= size:
        raise InvalidDocument(
            f"{where}.index", f"there is no entry {receipt.index} in a log of {size}"
        )
    try:
        root = merkle_log.root_from_inclusion(leaf, receipt.index, size, receipt.path)
    except merkle_log.BadProof as error:
        raise InvalidDocument(f"{where}.path", str(error)) from error
    if root != receipt.header.root:
        raise InvalidDocument(
            f"{where}.entry", "entry, index and path do not lead to the signed root"
        )
