"""The HTTP door: the chain for everyone to look at, and receipts to keep. No secrets here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler

from cinesync.chassis.database import Database
from cinesync.chassis.http.cursor import Page, decode_cursor, encode_cursor, integer
from cinesync.chassis.http.parameters import After, limit_up_to
from cinesync.chassis.problems import Invalid
from cinesync.ledger import store
from cinesync.ledger.model import NoReceipt, NoReceiptYet, ValidatorsAway
from cinesync.ledger.queries import LedgerQueries
from cinesync.proofs import canonical_json, headers
from cinesync.proofs.receipts import HeaderCertificate, certificate_from_json
from cinesync.proofs.tlog_proof import tlog_proof
from cinesync.validator.network.query_api import HEADERS_MAX
from cinesync.validator.network.transport import ValidatorStatus

JSON_TYPE: Final = "application/json"
INTEGER_MAX: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class LedgerContext:
    """What the handlers work with."""

    db: Database
    reader: LedgerQueries


TheDesk = NamedDependency[LedgerContext]


class StatusView(msgspec.Struct, frozen=True):
    """`height` is the highest that f + 1 validators reach; `waiting` counts entries not in yet."""

    chain: str
    height: int | None
    waiting: int
    validators: Sequence[dict[str, Any]]


class BlockView(msgspec.Struct, frozen=True):
    """A block's header and its hash; the certificate when it is kept here."""

    height: int
    hash: str
    header: dict[str, Any]
    entries: Sequence[dict[str, Any]] = ()
    certificate: dict[str, Any] | None = None


class ConsistencyView(msgspec.Struct, frozen=True):
    """Shows that the log of `from_size` entries is the beginning of that of `to_size`."""

    from_size: int
    to_size: int
    path: Sequence[str]


@get("/status")
async def status(desk: TheDesk) -> StatusView:
    """Where the validators stand, and what waits for them."""
    statuses = await desk.reader.statuses()
    try:
        height = await desk.reader.height()
    except ValidatorsAway:
        height = None
    return StatusView(
        chain=desk.reader.chain,
        height=height,
        waiting=await desk.db.run_one(store.count_waiting),
        validators=[_validator(replica, told) for replica, told in statuses.items()],
    )


@get("/genesis")
async def genesis(desk: TheDesk) -> Response[bytes]:
    """The beginning of the chain, to be pinned by whoever verifies receipts."""
    return _file(desk.reader.genesis, "genesis.json")


@get("/blocks")
async def blocks(
    desk: TheDesk,
    after: After = None,
    limit: Annotated[int, limit_up_to(HEADERS_MAX)] = 20,
) -> Page[BlockView]:
    """Headers, the newest first."""
    below = decode_cursor(after, integer)
    top = below[0] - 1 if below else await desk.reader.height()
    first = max(0, top - limit)
    found = await desk.reader.headers(first, top - first) if top > 0 else []
    views = [_view(header) for header in reversed(found)]
    return Page(views, encode_cursor(views[-1].height) if views and first > 0 else None)


@get("/blocks/{height:int}")
async def block(height: FromPath[int], desk: TheDesk) -> BlockView:
    """One block with its entries."""
    if not 1 <= height <= INTEGER_MAX:
        raise Invalid("heights begin with 1")
    found = await desk.reader.block(height)
    certificate = await desk.db.run_one(store.certificate, height)
    kept = msgspec.json.decode(certificate) if certificate else None
    return _view(found["header"], [_entry(one) for one in found["entries"]], kept)


@get("/entries")
async def entries_of_booking(
    desk: TheDesk, booking_id: Annotated[UUID, QueryParameter()]
) -> Page[dict[str, Any]]:
    """All that the chain holds of a booking; /proofs/booking proves that it is all."""
    found = await desk.reader.entries(str(booking_id))
    return Page([_entry(one) for one in found], None)


@get("/receipts/{event_id:uuid}")
async def receipt(
    event_id: FromPath[UUID],
    desk: TheDesk,
    form: Annotated[str, QueryParameter(pattern="^(json|tlog-proof)$")] = "json",
) -> Response[bytes]:
    """The receipt of an event: one file that anyone can verify, for ever."""
    kept = await desk.db.run_one(store.kept, event_id)
    if kept is None:
        raise NoReceiptYet if await desk.db.run_one(store.is_recorded, event_id) else NoReceipt
    found = desk.reader.receipt(kept)
    if form == "tlog-proof":
        return _file(tlog_proof(found).encode(), f"{event_id}.tlog-proof", "text/plain")
    return _file(found.encode(), f"receipt-{event_id}.json")


@get("/proofs/booking/{booking_id:uuid}")
async def completeness(booking_id: FromPath[UUID], desk: TheDesk) -> Response[bytes]:
    """All entries of a booking and the proof that there are no others: one file, also for none."""

    async def known(height: int) -> HeaderCertificate | None:
        kept = await desk.db.run_one(store.certificate, height)
        return certificate_from_json(canonical_json.load(kept.encode()), "kept") if kept else None

    found = await desk.reader.completeness(str(booking_id), known)
    return _file(found.encode(), f"booking-{booking_id}.json")


@get("/proofs/consistency")
async def consistency(
    desk: TheDesk,
    from_size: Annotated[int, QueryParameter(name="from", ge=1, le=INTEGER_MAX)],
    to_size: Annotated[int, QueryParameter(name="to", ge=1, le=INTEGER_MAX)],
) -> ConsistencyView:
    """Between two sizes of the log (RFC 9162, section 2.1.4)."""
    path = await desk.reader.consistency(from_size, to_size)
    return ConsistencyView(from_size, to_size, path)


def routes(desk: LedgerContext) -> Sequence[ControllerRouterHandler]:
    """Everything under /api/ledger."""
    return [
        Router(
            "/api/ledger",
            route_handlers=[
                status, genesis, blocks, block, entries_of_booking, receipt,
                completeness, consistency,
            ],
            dependencies={"desk": Provide(lambda: desk, sync_to_thread=False)},
        )
    ]  # fmt: skip


def _file(data: bytes, name: str, media_type: str = JSON_TYPE) -> Response[bytes]:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=media_type, headers=disposition)


def _view(
    header: dict[str, Any],
    entries: Sequence[dict[str, Any]] = (),
    certificate: dict[str, Any] | None = None,
) -> BlockView:
    name = headers.from_json(header, "header").hash.hex()
    return BlockView(header["height"], name, header, entries, certificate)


def _entry(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": one["index"],
        "height": one["height"],
        "entry": canonical_json.load(one["entry"].encode()),
    }


def _validator(replica: int, told: ValidatorStatus | None) -> dict[str, Any]:
    """Its own word beside whether it answers at all."""
    standing = msgspec.to_builtins(told) if told is not None else {}
    return {**standing, "replica": replica, "answers": told is not None}
