"""Security headers, protection against forged forms, and safe redirects."""

# mypy: allow-subclassing-any

from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

# No inline script or style anywhere; Bootstrap's icons of form controls are data: images.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
ONE_YEAR_SECONDS = 31_536_000

# Forms on pages that all visitors share: they cannot carry a token of one visitor's session.
SHARED_FORMS = frozenset({"storefront.hold"})


def install(app: Flask, trusted_proxies: int) -> None:
    app.after_request(add_headers)
    if trusted_proxies:
        count = trusted_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count
        )


class ForgeryGuard(CSRFProtect):
    """Refuses forms that another site sent. Raises CSRFError.

    It checks the session's token, or, for a form on a shared page, the header in which the browser
    says which site sent it.
    """

    def protect(self, *, apply_exemptions: bool = False) -> None:
        if request.endpoint in SHARED_FORMS and is_same_origin():
            return
        super().protect(apply_exemptions=apply_exemptions)


def is_same_origin() -> bool:
    """By Fetch Metadata; over plain http browsers send only Origin."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin", "")
    return bool(origin) and urlsplit(origin).netloc == request.host


def add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = f"max-age={ONE_YEAR_SECONDS}"
    if request.endpoint != "static" and not (request.endpoint or "").endswith(".static"):
        # Pages show a visitor's purchase and the seats that are free right now.
        response.headers.setdefault("Cache-Control", "private, no-store")
    return response


def safe_path(path: str | None, otherwise: str = "/") -> str:
    """`path` if it is a path of this shop, else `otherwise`; never another host."""
    if not path or not path.startswith("/") or path.startswith("//"):
        return otherwise
    # Browsers read a backslash as a slash, and skip control characters.
    if "\\" in path or any(ord(character) < ord(" ") for character in path):
        return otherwise
    return path
