"""A receipt as a C2SP tlog-proof, for tools of the transparency ecosystem.

Hashes, index, path and checkpoint follow RFC 9162 and C2SP tlog-checkpoint. The signatures do not:
validators sign block headers, so each line has its own signature type, and the checkpoint's
extension line contains the header.
"""

import hashlib
from base64 import b64encode
from typing import Final

from cinesync.proofs import receipts
from cinesync.proofs.receipts import Receipt

SIGNATURE_TYPE: Final = b"\xffcinesync/header-signature/1"


def tlog_proof(receipt: Receipt) -> str:
    """The text of a `.tlog-proof` file. The log's data are the bytes of the entry."""
    lines = ["c2sp.org/tlog-proof@v1", f"index {receipt.index}"]
    lines += [_base64(node) for node in receipt.path]
    return "\n".join([*lines, "", checkpoint(receipt)])


def checkpoint(receipt: Receipt) -> str:
    """The signed note: origin, size, root, header, signatures."""
    header, epoch = receipt.header, receipt.certificate.epoch
    body = [origin(receipt), str(header.size), _base64(header.root)]
    body.append(f"cinesync-header {epoch} {_base64(header.encoded)}")
    validators = receipts.check_links(receipt.genesis, receipt.links, "receipt.links")
    lines = [
        _line(f"{origin(receipt)}/validator-{replica}", validators.key(replica) or b"", signature)
        for replica, signature in sorted(receipt.certificate.signatures.items())
    ]
    return "\n".join([*body, "", *lines, ""])


def origin(receipt: Receipt) -> str:
    return f"cinesync/{receipt.genesis.chain.hex()}"


def _line(name: str, public_key: bytes, signature: bytes) -> str:
    key_id = hashlib.sha256(name.encode() + b"\n" + SIGNATURE_TYPE + public_key).digest()[:4]
    return f"— {name} {_base64(key_id + signature)}"


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
