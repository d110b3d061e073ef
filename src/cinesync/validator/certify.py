"""Certificates and completeness proofs, made from the answers of single validators.

Theory of operation. The replies to a submitted request carry each validator's attestation: its
signature over the header at the request's height. `certify_block` asks one validator for the block
proof of that height and checks the attestations against its header: a quorum of valid ones is the
certificate, without further questions. Only if some are missing or invalid does it query all.

`prove_completeness` asks one validator for the entries of a booking and the map's proof, and
verifies the whole file before it returns. Validators that answer wrongly, or with a height below
`least` (an old proof would hide later entries), are skipped.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cinesync.proofs import block_proof, completeness, entries, strict_json
from cinesync.proofs.block_proof import BlockProof
from cinesync.proofs.completeness import CompletenessProof, IndexedEntry
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.receipts import HeaderCertificate, attests
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.validator.network.client import Appended, LedgerClient
from cinesync.validator.network.query_client import NoQuorum


async def prove_completeness(
    client: LedgerClient,
    booking_id: str,
    least: int,
    known: Callable[[int], Awaitable[HeaderCertificate | None]],
) -> CompletenessProof:
    """The proof of all entries of a booking up to a block at height `least` or above.

    `known` returns the stored certificate of a height, if any. Raises NoQuorum.
    """
    for replica in client.replicas:
        try:
            answer = await client.query(replica, "subject", name=booking_id)
            height = strict_json.integer(answer["height"], "height")
            if height < least:
                continue
            header, certificate = await _certified_header(client, height, await known(height))
            return _completeness_proof(client, header, certificate, booking_id, answer)
        except (
            InvalidDocument,
            ValueError,
            TimeoutError,
            NoQuorum,
            TypeError,
            KeyError,
            AttributeError,
        ):
            continue
    raise NoQuorum(f"no validator proves the entries of booking {booking_id}")


async def _certified_header(
    client: LedgerClient, height: int, known: HeaderCertificate | None
) -> tuple[BlockHeader, HeaderCertificate]:
    header = await client.header(height) if known is not None else None
    if header is not None and known is not None:
        return header, known
    return await client.certify(height)


def _completeness_proof(
    client: LedgerClient,
    header: BlockHeader,
    certificate: HeaderCertificate,
    booking_id: str,
    answer: Any,
) -> CompletenessProof:
    found = CompletenessProof(
        genesis=client.genesis,
        links=client.epochs.up_to(certificate.epoch),
        header=header,
        certificate=certificate,
        booking_id=booking_id,
        entries=[
            IndexedEntry(
                strict_json.integer(one["index"], "index"), entries.decode(one["entry"].encode())
            )
            for one in answer["entries"]
        ],
        proof=completeness.proof_from_json(answer["path"], answer["other"], "answer"),
    )
    return completeness.verify(found.encode(), client.genesis)


async def certify_block(
    client: LedgerClient, appended: Appended
) -> tuple[BlockProof, HeaderCertificate]:
    """The block proof and the certificate of the block with these entries. Raises NoQuorum."""
    signatures = {one.replica: one.signature for one in appended.attestations}
    for replica in [*signatures, *(at for at in client.replicas if at not in signatures)]:
        try:
            block = block_proof.from_json(await client.query(replica, "tail", appended.height))
        except (InvalidDocument, TimeoutError):
            continue
        if block.header.height != appended.height:
            continue
        certificate = _certificate(client, block.header, signatures)
        if certificate is None:
            header, certificate = await client.certify(appended.height)
            if header != block.header:
                continue
        return block, certificate
    raise NoQuorum(f"no validator proves block {appended.height}")


def _certificate(
    client: LedgerClient, header: BlockHeader, signatures: Mapping[int, bytes]
) -> HeaderCertificate | None:
    configuration = client.epochs.of(header)
    if configuration is None:
        return None
    good = {at: one for at, one in signatures.items() if attests(configuration, header, at, one)}
    return (
        HeaderCertificate(configuration.epoch, good) if len(good) >= configuration.quorum else None
    )
