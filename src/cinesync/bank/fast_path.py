"""To take money: what every purchase asks of the bank (ADR 13)."""

from collections.abc import Sequence

import msgspec

from cinesync.bank import routes
from cinesync.bank.routes import BODY_BYTES_MAX, KEY_CHARS_MAX, ChargeBody, Desk
from cinesync.chassis.http.fast_path import Answer, Asked, Shortcut, json_answer

CHARGE = msgspec.json.Decoder(ChargeBody)


def shortcuts(desk: Desk) -> Sequence[Shortcut]:
    """The one there is. What goes wrong the ordinary route finds out, and tells."""

    async def charge(asked: Asked) -> Answer | None:
        key = asked.header(b"idempotency-key") or ""
        body = asked.json(CHARGE)
        if body is None or len(asked.body) > BODY_BYTES_MAX or not 0 < len(key) <= KEY_CHARS_MAX:
            return None
        try:
            routes.check(desk, asked.header(b"authorization") or "")
            return json_answer(201, await routes.charged(desk, body, key))
        except Exception:  # noqa: BLE001 asked again, it is refused again: the key is the same
            return None

    return [Shortcut("POST", "/charges", charge)]
