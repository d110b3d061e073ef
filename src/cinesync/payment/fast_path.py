"""To pay: the second request of every purchase."""

from collections.abc import Sequence

import msgspec

from cinesync.chassis.http.fast_path import FastPath, FastRequest, FastResponse, json_response
from cinesync.payment import routes
from cinesync.payment.routes import PayBody, PaymentContext

PAY = msgspec.json.Decoder(PayBody)


def fast_paths(context: PaymentContext) -> Sequence[FastPath]:
    """The one under /api/payment."""

    async def pay(request: FastRequest) -> FastResponse | None:
        body = request.json(PAY)
        if body is None:
            return None
        key = request.header(b"idempotency-key")
        address = context.addresses.of(request.scope)
        payment = await routes.paid(context, await request.caller(), body, key, address)
        location = b"location", routes.location_of(payment).encode()
        return json_response(routes.status_of(payment), routes.view(payment), location)

    return [FastPath("POST", "/api/payment/payments", pay)]
