"""The HTTP route of the payment providers' webhooks."""

from litestar import Router, post
from litestar.params import FromPath

from cinesync.chassis import telemetry
from cinesync.chassis.http.parameters import AnyRequest
from cinesync.chassis.http.strict_bodies import READS_BODY
from cinesync.payment.context import PaymentContext, ThePaymentContext
from cinesync.payment.gateways import read_webhook
from cinesync.payment.model import UnknownPayment

log = telemetry.get_logger(__name__)


@post("/webhooks/{provider:str}", status_code=204, opt=READS_BODY)
async def webhook(provider: FromPath[str], request: AnyRequest, context: ThePaymentContext) -> None:
    """A provider reports an event. 204 only after the commit; repetitions are harmless.

    An event of another system on the same account is acknowledged and ignored: otherwise the
    provider repeats it for days, and may turn the endpoint off.
    """
    gateway = context.processor.gateway(provider)
    headers = {name.lower(): value for name, value in request.headers.items()}
    event = read_webhook(gateway, await request.body(), headers)
    if event is None:
        return
    try:
        await context.processor.receive(event)
    except UnknownPayment:
        log.info("webhook.not_ours", provider=provider, kind=type(event).__name__)


def webhook_router(context: PaymentContext) -> Router:
    """Routes under /api/payment."""
    return Router("/api/payment", route_handlers=[webhook], dependencies=context.dependencies())
