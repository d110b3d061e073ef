"""The HTTP routes of the ledger: the chain, receipts and proofs, public for everyone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

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
from cinesync.ledger.schemas import (
    BlockView,
    ConsistencyView,
    StatusView,
    block_view,
    entry_view,
    validator_view,
)
from cinesync.proofs import canonical_json
from cinesync.proofs.receipts import HeaderCertificate, certificate_from_json
from cinesync.proofs.tlog_proof import tlog_proof
from cinesync.validator.network.query_api import HEADERS_MAX

JSON_TYPE: Final = "application/json"
INTEGER_MAX: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class LedgerContext:
    """The database and the validators, for the route handlers."""

    db: Database
    queries: LedgerQueries


InjectedLedger = NamedDependency[LedgerContext]


@get("/status")
async def status(ledger: InjectedLedger) -> StatusView:
    """The state of each validator, the chain's height, and how many entries wait."""
    statuses = await ledger.queries.statuses()
    try:
        height = await ledger.queries.height()
    except ValidatorsAway:
        height = None
    return StatusView(
        chain=ledger.queries.chain,
        height=height,
        waiting=await ledger.db.run_one(store.count_pending),
        validators=[validator_view(replica, one) for replica, one in statuses.items()],
    )


@get("/genesis")
async def genesis(ledger: InjectedLedger) -> Response[bytes]:
    """The genesis of the chain; verifiers of receipts pin it."""
    return _file(ledger.queries.genesis, "genesis.json")


@get("/blocks")
async def blocks(
    ledger: InjectedLedger,
    after: After = None,
    limit: Annotated[int, limit_up_to(HEADERS_MAX)] = 20,
) -> Page[BlockView]:
    """Headers, the newest first."""
    below = decode_cursor(after, integer)
    top = below[0] - 1 if below else await ledger.queries.height()
    first = max(0, top - limit)
    found = await ledger.queries.headers(first, top - first) if top > 0 else []
    views = [block_view(header) for header in reversed(found)]
    return Page(views, encode_cursor(views[-1].height) if views and first > 0 else None)


@get("/blocks/{height:int}")
async def block(height: FromPath[int], ledger: InjectedLedger) -> BlockView:
    """One block with its entries."""
    if not 1 <= height <= INTEGER_MAX:
        raise Invalid("heights begin with 1")
    found = await ledger.queries.block(height)
    certificate = await ledger.db.run_one(store.certificate, height)
    return block_view(found["header"], found["entries"], certificate)


@get("/entries")
async def entries_of_booking(
    ledger: InjectedLedger, booking_id: Annotated[UUID, QueryParameter()]
) -> Page[dict[str, Any]]:
    """The entries of a booking; /proofs/booking proves that there are no others."""
    found = await ledger.queries.entries(str(booking_id))
    return Page([entry_view(one) for one in found], None)


@get("/receipts/{event_id:uuid}")
async def receipt(
    event_id: FromPath[UUID],
    ledger: InjectedLedger,
    form: Annotated[str, QueryParameter(pattern="^(json|tlog-proof)$")] = "json",
) -> Response[bytes]:
    """The receipt of an event: one file that anyone can verify offline."""
    proof = await ledger.db.run_one(store.stored_proof, event_id)
    if proof is None:
        raise NoReceiptYet if await ledger.db.run_one(store.is_submitted, event_id) else NoReceipt
    found = ledger.queries.receipt(proof)
    if form == "tlog-proof":
        return _file(tlog_proof(found).encode(), f"{event_id}.tlog-proof", "text/plain")
    return _file(found.encode(), f"receipt-{event_id}.json")


@get("/proofs/booking/{booking_id:uuid}")
async def completeness(booking_id: FromPath[UUID], ledger: InjectedLedger) -> Response[bytes]:
    """All entries of a booking, with the proof that there are no others, also if it has none."""

    async def known(height: int) -> HeaderCertificate | None:
        stored = await ledger.db.run_one(store.certificate, height)
        if stored is None:
            return None
        return certificate_from_json(canonical_json.load(stored.encode()), "certificate")

    found = await ledger.queries.completeness(str(booking_id), known)
    return _file(found.encode(), f"booking-{booking_id}.json")


@get("/proofs/consistency")
async def consistency(
    ledger: InjectedLedger,
    from_size: Annotated[int, QueryParameter(name="from", ge=1, le=INTEGER_MAX)],
    to_size: Annotated[int, QueryParameter(name="to", ge=1, le=INTEGER_MAX)],
) -> ConsistencyView:
    """The consistency proof between two sizes of the log (RFC 9162, section 2.1.4)."""
    path = await ledger.queries.consistency(from_size, to_size)
    return ConsistencyView(from_size, to_size, path)


def routes(context: LedgerContext) -> Sequence[ControllerRouterHandler]:
    """Everything under /api/ledger."""
    return [
        Router(
            "/api/ledger",
            route_handlers=[
                status, genesis, blocks, block, entries_of_booking, receipt,
                completeness, consistency,
            ],
            dependencies={"ledger": Provide(lambda: context, sync_to_thread=False)},
        )
    ]  # fmt: skip


def _file(data: bytes, name: str, media_type: str = JSON_TYPE) -> Response[bytes]:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=media_type, headers=disposition)
