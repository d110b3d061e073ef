"""What staff have to see to: refunds that nobody makes any more, and open disputes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler

from cinesync.chassis.database.database import Database, Row
from cinesync.chassis.http.access_tokens import Caller, require
from cinesync.chassis.http.app import Page, decode_cursor, encode_cursor
from cinesync.chassis.http.audit_log_api import actor_of
from cinesync.chassis.problems import Invalid
from cinesync.payment import refund_service, refund_store
from cinesync.payment.model import Refund

READERS: Final = ("manager", "auditor")
DECIDERS: Final = ("manager",)
PAGE_MAX: Final = 100


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
        caller: NamedDependency[Caller],
        after: Annotated[str | None, QueryParameter(max_length=500)] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 50,
    ) -> Response[Page[AttentionView]]:
        """Refunds and disputes that wait for a person, the oldest first; for staff who decide."""
        require(caller, *READERS)
        rows = await db.run_one(refund_store.attention_page, _key(after), limit + 1)
        views = [_view(row) for row in rows[:limit]]
        following = _cursor(views[-1]) if rows[limit:] else None
        return Response(Page(views, following), headers={"Cache-Control": "no-store"})

    @post("/api/payment/refunds/{refund_id:uuid}/retry", status_code=202)
    async def retry_refund(
        refund_id: FromPath[UUID], caller: NamedDependency[Caller], request: Request[Any, Any, Any]
    ) -> RefundView:
        """Try a refund again that was given up or failed. A failed one is tried as a new one."""
        require(caller, *DECIDERS)
        actor = actor_of(request, caller)
        return _refund(await db.run(refund_service.retry_refund, refund_id, actor))

    return [list_attention, retry_refund]


def _view(row: Row) -> AttentionView:
    return AttentionView(*row)


def _refund(refund: Refund) -> RefundView:
    return RefundView(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        amount_cents=refund.amount_cents,
        currency=refund.currency,
        status=refund.status.value,
        reason=refund.reason,
    )


def _cursor(view: AttentionView) -> str:
    return encode_cursor(repr(view.since.timestamp()), str(view.id))


def _key(after: str | None) -> tuple[datetime, UUID] | None:
    if after is None:
        return None
    at, name = decode_cursor(after, 2)
    try:
        return datetime.fromtimestamp(float(at), UTC), UUID(name)
    except (ValueError, OverflowError, OSError) as error:
        raise Invalid("`after` takes the `next` of an earlier answer.", field="after") from error
