"""The cookie that says an account's owner has signed in on this browser: it opens nothing."""

import re

from flask import request
from werkzeug.wrappers import Response

COOKIE = "cinesync_device"
SECONDS_MAX = 400 * 86_400  # browsers keep none for longer
FORM = re.compile(r"[0-9a-f.]{1,150}")


def of_visitor() -> str | None:
    """What the browser shows, if it can be one."""
    shown = request.cookies.get(COOKIE, "")
    return shown if FORM.fullmatch(shown) else None


def remember(response: Response, device: str | None) -> Response:
    """Known from now on; signing out does not change that."""
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
