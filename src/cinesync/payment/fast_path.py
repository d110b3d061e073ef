"""To pay: the second request of every purchase."""

from collections.abc import Sequence

import msgspec

from cinesync.chassis.http.fast_path import Answer, Asked, Shortcut, json_answer
from cinesync.payment import routes
from cinesync.payment.routes import Desk, PayBody

PAY = msgspec.json.Decoder(PayBody)


def shortcuts(desk: Desk) -> Sequence[Shortcut]:
    """The one under /api/payment."""

    async def pay(asked: Asked) -> Answer | None:
        body = asked.json(PAY)
        if body is None:
            return None
        key = asked.header(b"idempotency-key")
        address = desk.addresses.of(asked.scope)
        payment = await routes.paid(desk, await asked.caller(), body, key, address)
        location = b"location", routes.location_of(payment).encode()
        return json_answer(routes.status_of(payment), routes.view(payment), location)

    return [Shortcut("POST", "/api/payment/payments", pay)]
