"""What a validator says of a block, made into something that a quorum vouches for."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cinesync.proofs import block_proof, completeness, entries, strict_json
from cinesync.proofs.block_proof import BlockProof
from cinesync.proofs.completeness import CompletenessProof, IndexedEntry
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.receipts import HeaderCertificate, attests
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.validator.network.client import Appended, LedgerClient, NoQuorum


async def complete(
    client: LedgerClient,
    booking_id: str,
    least: int,
    known: Callable[[int], Awaitable[HeaderCertificate | None]],
) -> CompletenessProof:
    """All entries of a booking up to a block at height `least` or above: an older proof is none.

    `known` gives the certificate of a height if it is kept. Raises NoQuorum.
    """
    for replica in client.replicas:
        try:
            told = await client.ask(replica, "subject", name=booking_id)
            height = strict_json.integer(told["height"], "height")
            if height < least:
                continue
            header, certificate = await _certified(client, height, await known(height))
            return _complete(client, header, certificate, booking_id, told)
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
    raise NoQuorum(f"no validator proves what there is of booking {booking_id}")


async def _certified(
    client: LedgerClient, height: int, known: HeaderCertificate | None
) -> tuple[BlockHeader, HeaderCertificate]:
    header = await client.header(height) if known is not None else None
    if header is not None and known is not None:
        return header, known
    return await client.certify(height)


def _complete(
    client: LedgerClient,
    header: BlockHeader,
    certificate: HeaderCertificate,
    booking_id: str,
    told: Any,
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
            for one in told["entries"]
        ],
        proof=completeness.proof_from_json(told["path"], told["other"], "told"),
    )
    return completeness.verify(found.encode(), client.genesis)


async def seal(client: LedgerClient, appended: Appended) -> tuple[BlockProof, HeaderCertificate]:
    """The block that these entries went into, with its certificate. Raises NoQuorum.

    One validator is asked; the signatures came with the replies. Only when some of them are missing
    or bad, all are asked.
    """
    words = {word.replica: word.signature for word in appended.attestations}
    for replica in [*words, *(one for one in client.replicas if one not in words)]:
        try:
            block = block_proof.from_json(await client.ask(replica, "tail", appended.height))
        except (InvalidDocument, TimeoutError):
            continue
        if block.header.height != appended.height:
            continue
        certificate = _certificate(client, block.header, words)
        if certificate is None:
            header, certificate = await client.certify(appended.height)
            if header != block.header:
                continue
        return block, certificate
    raise NoQuorum(f"no validator shows block {appended.height}")


def _certificate(
    client: LedgerClient, header: BlockHeader, words: Mapping[int, bytes]
) -> HeaderCertificate | None:
    configuration = client.epochs.of(header)
    if configuration is None:
        return None
    good = {at: word for at, word in words.items() if attests(configuration, header, at, word)}
    return (
        HeaderCertificate(configuration.epoch, good) if len(good) >= configuration.quorum else None
    )
