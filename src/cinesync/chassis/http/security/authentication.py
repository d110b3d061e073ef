"""Who makes a request: the caller that its access token names."""

from typing import Any

from litestar import Request

from cinesync.chassis import telemetry
from cinesync.chassis.http.security.access_tokens import Caller, Verifier
from cinesync.chassis.problems import Unauthorized

SIGNED_IN = {"signed_in": True}


async def signed_in(request: Request[Any, Any, Any]) -> Caller:
    """The caller, for the few hot handlers; others take the dependency `caller`.

    Litestar runs two dependencies in a task group, which costs as much as verifying a cached token
    a hundred times. A handler that calls this has `opt=SIGNED_IN`. Raises Unauthorized.
    """
    caller = await optional_caller(request)
    if caller is None:
        raise Unauthorized
    return caller


async def optional_caller(request: Request[Any, Any, Any]) -> Caller | None:
    """The caller, or None without a token. Raises Unauthorized for a token that is not valid."""
    verifier: Verifier = request.app.state.verifier
    return await caller_of(request.headers.get("authorization"), verifier)


async def caller_of(authorization: str | None, verifier: Verifier) -> Caller | None:
    """The caller of an Authorization header (RFC 6750 section 2.1). Raises Unauthorized."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("The Authorization header takes the form `Bearer <token>`.")
    caller = await verifier.verify(token.strip())
    telemetry.note(actor=caller.customer_id, role=caller.role)
    return caller


async def verify_token(request: Request[Any, Any, Any], token: str) -> Caller:
    """The caller that `token` names. Raises Unauthorized, JwksUnavailable."""
    verifier: Verifier = request.app.state.verifier
    return await verifier.verify(token)


def remember_token(request: Request[Any, Any, Any], caller: Caller) -> None:
    """The token of `caller` needs no verification: this process has just issued it."""
    verifier: Verifier = request.app.state.verifier
    verifier.remember(caller)
