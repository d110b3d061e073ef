"""To take money: what every purchase asks of the bank (ADR 13)."""

from collections.abc import Sequence

import msgspec

from cinesync.bank import routes
from cinesync.bank.routes import BODY_BYTES_MAX, KEY_CHARS_MAX, Bank, ChargeBody
from cinesync.chassis.http.fast_path import FastPath, FastRequest, FastResponse, json_response

CHARGE = msgspec.json.Decoder(ChargeBody)


def fast_paths(bank: Bank) -> Sequence[FastPath]:
    """The one there is. What goes wrong the ordinary route finds out, and tells."""

    async def charge(request: FastRequest) -> FastResponse | None:
        key = request.header(b"idempotency-key") or ""
        body = request.json(CHARGE)
        if body is None or len(request.body) > BODY_BYTES_MAX or not 0 < len(key) <= KEY_CHARS_MAX:
            return None
        try:
            routes.check(bank, request.header(b"authorization") or "")
            return json_response(201, await routes.charged(bank, body, key))
        except Exception:  # noqa: BLE001 request again, it is refused again: the key is the same
            return None

    return [FastPath("POST", "/charges", charge)]
