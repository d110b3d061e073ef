"""What a validator says of a block, made into something that a quorum vouches for."""

from collections.abc import Mapping

from cinesync.ledger import blocks
from cinesync.ledger.blocks import Block
from cinesync.ledger.client import Appended, LedgerClient, NoQuorum
from cinesync.ledger.headers import Header
from cinesync.ledger.receipts import Certificate, attests
from cinesync.ledger.shapes import Invalid


async def seal(client: LedgerClient, appended: Appended) -> tuple[Block, Certificate]:
    """The block that these entries went into, with its certificate. Raises NoQuorum.

    One validator is asked; the signatures came with the replies. Only when some of them are missing
    or bad, all are asked.
    """
    words = {word.replica: word.signature for word in appended.attestations}
    for replica in [*words, *(one for one in client.replicas if one not in words)]:
        try:
            block = blocks.from_json(await client.ask(replica, "tail", appended.height))
        except (Invalid, TimeoutError):
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
    client: LedgerClient, header: Header, words: Mapping[int, bytes]
) -> Certificate | None:
    configuration = client.epochs.of(header)
    if configuration is None:
        return None
    good = {at: word for at, word in words.items() if attests(configuration, header, at, word)}
    return Certificate(configuration.epoch, good) if len(good) >= configuration.quorum else None
