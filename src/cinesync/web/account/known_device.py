"""The cookie of a browser that an account's owner has signed in with. It grants nothing by itself.

Auth limits failed sign-ins; a known device keeps its own allowance, so that an attacker who uses
up everybody else's cannot lock the owner out.
"""

import re

from flask import request
from werkzeug.wrappers import Response

COOKIE = "cinesync_device"
SECONDS_MAX = 400 * 86_400  # browsers cap cookies at 400 days
VALUE = re.compile(r"[0-9a-f.]{1,150}")


def of_visitor() -> str | None:
    """The cookie's value, if it is well-formed."""
    value = request.cookies.get(COOKIE, "")
    return value if VALUE.fullmatch(value) else None


def remember(response: Response, device: str | None) -> Response:
    """Set the cookie; it stays when the visitor signs out."""
    if device:
        response.set_cookie(
            COOKIE,
            device,
            max_age=SECONDS_MAX,
            httponly=True,
            secure=request.is_secure,
            samesite="Lax",
        )
    return response
