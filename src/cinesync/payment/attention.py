"""What staff have to see to: refunds that nobody makes any more, and open disputes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from cinesync.chassis.database import Database
from cinesync.chassis.http.audit_log_api import actor_of
from cinesync.chassis.http.cursor import Page, decode_cursor, instant, page_of
from cinesync.chassis.http.parameters import After, AnyRequest, Limit, SignedInCaller
from cinesync.chassis.http.security.access_tokens import require
from cinesync.payment import refund_service, refund_store
from cinesync.payment.model import Refund

READERS: Final = ("manager", "auditor")
DECIDERS: Final = ("manager",)


class AttentionView(msgspec.Struct, frozen=True):
    """A refund (`needs_attention`: we gave up; `failed`: the provider could not) or a dispute
    (`inquiry` or `open`), with what is known of it. Evidence is taken until `due_at`."""

    kind: str
    id: UUID
    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    provider: str
    provider_id: str
    amount_cents: int
    currency: str
    status: str
    reason: str
    error: str
    since: datetime
    due_at: datetime | None


class RefundView(msgspec.Struct, frozen=True):
    """A refund as it stands."""

    refund_id: UUID
    payment_id: UUID
    amount_cents: int
    currency: str
    status: str
    reason: str


def attention_routes(db: Database) -> Sequence[ControllerRouterHandler]:
    """The two of them, under /api/payment."""

    @get("/api/payment/attention")
    async def list_attention(
        caller: SignedInCaller,
        after: After = None,
        limit: Limit = 50,
    ) -> Response[Page[AttentionView]]:
        """Refunds and disputes that wait for a person, the oldest first; for staff who decide."""
        require(caller, *READERS)
        key = decode_cursor(after, instant, UUID)
        rows = await db.run_one(refund_store.attention_page, key, limit + 1)
        views = [AttentionView(*row) for row in rows]
        page = page_of(views, limit, lambda view: (view.since, view.id))
        return Response(page, headers={"Cache-Control": "no-store"})

    @post("/api/payment/refunds/{refund_id:uuid}/retry", status_code=202)
    async def retry_refund(
        refund_id: FromPath[UUID], caller: SignedInCaller, request: AnyRequest
    ) -> RefundView:
        """Try a refund again that was given up or failed. A failed one is tried as a new one."""
        require(caller, *DECIDERS)
        actor = actor_of(request, caller)
        return _refund(await db.run(refund_service.retry_refund, refund_id, actor))

    return [list_attention, retry_refund]


def _refund(refund: Refund) -> RefundView:
    return RefundView(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        amount_cents=refund.amount_cents,
        currency=refund.currency,
        status=refund.status.value,
        reason=refund.reason,
    )
