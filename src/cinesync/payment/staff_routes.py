"""HTTP routes for staff: refunds and disputes that need attention."""

from typing import Final
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.params import FromPath

from cinesync.chassis.http.audit_log_api import actor_of
from cinesync.chassis.http.cursor import Page, decode_cursor, instant, page_of
from cinesync.chassis.http.parameters import After, AnyRequest, Limit, SignedInCaller
from cinesync.chassis.http.security.access_tokens import require
from cinesync.payment.context import PaymentContext, ThePaymentContext
from cinesync.payment.refunds import service, store
from cinesync.payment.schemas import AttentionView, RefundView

READERS: Final = ("manager", "auditor")
DECIDERS: Final = ("manager",)


@get("/attention")
async def list_attention(
    caller: SignedInCaller,
    context: ThePaymentContext,
    after: After = None,
    limit: Limit = 50,
) -> Response[Page[AttentionView]]:
    """Refunds and disputes that wait for a person, the oldest first; for staff who decide."""
    require(caller, *READERS)
    key = decode_cursor(after, instant, UUID)
    rows = await context.db.run_one(store.attention_page, key, limit + 1)
    views = [AttentionView(*row) for row in rows]
    page = page_of(views, limit, lambda view: (view.since, view.id))
    return Response(page, headers={"Cache-Control": "no-store"})


@post("/refunds/{refund_id:uuid}/retry", status_code=202)
async def retry_refund(
    refund_id: FromPath[UUID],
    caller: SignedInCaller,
    request: AnyRequest,
    context: ThePaymentContext,
) -> RefundView:
    """Retry a refund that we gave up or that failed. A failed one is retried as a new one."""
    require(caller, *DECIDERS)
    actor = actor_of(request, caller)
    return RefundView.of(await context.db.run(service.retry_refund, refund_id, actor))


def staff_router(context: PaymentContext) -> Router:
    """Routes under /api/payment."""
    return Router(
        "/api/payment",
        route_handlers=[list_attention, retry_refund],
        dependencies=context.dependencies(),
    )
