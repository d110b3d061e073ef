"""HTTP routes of the auth service."""

from typing import Any
from urllib.parse import urlsplit

from litestar import Response, Router, get, post, put
from litestar.connection import ASGIConnection
from litestar.datastructures import CacheControlHeader, Cookie
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody

from cinesync.auth.authentication.accounts import Accounts, ProfileChange
from cinesync.auth.authentication.authenticator import Authenticator, Grant
from cinesync.auth.credentials.signing_keys import SigningKeys
from cinesync.auth.links.sign_in_links import SignInLinks
from cinesync.auth.model import Customer, ForeignOrigin
from cinesync.auth.revocations.published import PublishedRevocations
from cinesync.auth.schemas import (
    GuestRequest,
    LinkRequest,
    LinkUse,
    Profile,
    ProfileUpdate,
    RegisterRequest,
    SignInRequest,
    TokenResponse,
)
from cinesync.chassis.http.etags import matches
from cinesync.chassis.http.parameters import AnyRequest, SignedInCaller
from cinesync.chassis.http.security.authentication import optional_caller, remember_token
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.problems import Unauthorized, Unavailable

REFRESH_COOKIE = "cinesync_refresh"
DEVICE_COOKIE = "cinesync_device"
PATH = "/api/auth"
JWKS_SECONDS = 300
TheAccounts = NamedDependency[Accounts]
TheAuthenticator = NamedDependency[Authenticator]
TheSigningKeys = NamedDependency[SigningKeys]
TheRevocations = NamedDependency[PublishedRevocations]
TheLinks = NamedDependency[SignInLinks]
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
NO_STORE = {"Cache-Control": "no-store"}  # RFC 6749 section 5.1


class TokenResponder:
    """Makes responses with tokens and cookies, and finds the client's address."""

    def __init__(
        self,
        addresses: ClientAddresses,
        *,
        is_https: bool,
        cookie_seconds: int,
        device_seconds: int,
    ) -> None:
        self._addresses = addresses
        self._is_https = is_https
        self._cookie_seconds = cookie_seconds
        self._device_seconds = device_seconds

    def address(self, request: AnyRequest) -> str:
        """The client's address, behind trusted proxies too."""
        return self._addresses.of(request.scope)

    def cookie(self, refresh_token: str | None) -> Cookie:
        """The cookie of a refresh token; None deletes it."""
        return Cookie(
            key=REFRESH_COOKIE,
            value=refresh_token or "",
            max_age=self._cookie_seconds if refresh_token else 0,
            path=PATH,
            httponly=True,
            secure=self._is_https,
            samesite="lax",
        )

    def device_cookie(self, device: str) -> Cookie:
        """Outlives the session: it marks the browser as known, and gives no access."""
        return Cookie(
            key=DEVICE_COOKIE,
            value=device,
            max_age=self._device_seconds,
            path=PATH,
            httponly=True,
            secure=self._is_https,
            samesite="lax",
        )

    def respond(self, request: AnyRequest, grant: Grant) -> Response[TokenResponse]:
        """The access token in the body, the refresh token in a cookie that scripts cannot read.

        This process need not verify the access token that it has just signed.
        """
        remember_token(request, grant.access)
        body = TokenResponse(grant.access.token, int(grant.lifetime.total_seconds()))
        cookies = [self.cookie(grant.refresh_token)] if grant.refresh_token else []
        cookies += [self.device_cookie(grant.device)] if grant.device else []
        return Response(body, headers=NO_STORE, cookies=cookies, status_code=200)


TheTokenResponder = NamedDependency[TokenResponder]


async def refuse_foreign_pages(
    connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
) -> None:
    """Refuse cross-site request forgery, as SameSite cookies do in most browsers.

    A browser names the site whose page sends the request. Other programs do not, and pass: they
    send nobody else's cookies. Raises ForeignOrigin.
    """
    if connection.scope.get("method") in SAFE_METHODS:
        return
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            raise ForeignOrigin
        return
    origin = connection.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != connection.headers.get("host"):
        raise ForeignOrigin


@post("/register", status_code=201)
async def register(
    data: JSONBody[RegisterRequest],
    accounts: TheAccounts,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Profile:
    """Open an account."""
    customer = await accounts.register(
        data.email, data.password, data.name, data.phone or "", responder.address(request)
    )
    return _profile(customer)


@post("/login", status_code=200)
async def login(
    data: JSONBody[SignInRequest],
    authenticator: TheAuthenticator,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Response[TokenResponse]:
    """Sign in: an access token, and a refresh token in a cookie."""
    device = request.cookies.get(DEVICE_COOKIE)
    grant = await authenticator.sign_in(
        data.email, data.password, responder.address(request), device
    )
    return responder.respond(request, grant)


@post("/links", status_code=202)
async def request_link(
    data: JSONBody[LinkRequest], links: TheLinks, responder: TheTokenResponder, request: AnyRequest
) -> Response[None]:
    """Have a sign-in link mailed, valid once. An unknown e-mail gets the same response."""
    await links.request(data.email, data.purpose, responder.address(request))
    return Response(None, headers=NO_STORE)


@post("/links/use", status_code=200)
async def use_link(
    data: JSONBody[LinkUse], links: TheLinks, responder: TheTokenResponder, request: AnyRequest
) -> Response[TokenResponse]:
    """Sign in with the code of a mailed link, and set a new password if there is one."""
    device = request.cookies.get(DEVICE_COOKIE)
    grant = await links.use(data.code, data.password, responder.address(request), device)
    return responder.respond(request, grant)


@post("/guest", status_code=200)
async def guest(
    data: JSONBody[GuestRequest],
    authenticator: TheAuthenticator,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Response[TokenResponse]:
    """Buy without an account: a token valid for one purchase."""
    return responder.respond(request, await authenticator.admit_guest(data.email))


@post("/refresh", status_code=200)
async def refresh(
    authenticator: TheAuthenticator, responder: TheTokenResponder, request: AnyRequest
) -> Response[TokenResponse]:
    """Exchange the refresh cookie for a new access token and a new cookie."""
    return responder.respond(
        request,
        await authenticator.refresh(
            request.cookies.get(REFRESH_COOKIE), responder.address(request)
        ),
    )


@post("/logout", status_code=204)
async def logout(
    authenticator: TheAuthenticator, responder: TheTokenResponder, request: AnyRequest
) -> Response[None]:
    """Sign out: ends the sessions of the refresh cookie and of the access token. Never fails."""
    try:
        caller = await optional_caller(request)
    except (Unauthorized, Unavailable):
        caller = None
    await authenticator.sign_out(
        request.cookies.get(REFRESH_COOKIE), caller, responder.address(request)
    )
    return Response(None, cookies=[responder.cookie(None)])


@get("/me")
async def get_me(caller: SignedInCaller, accounts: TheAccounts) -> Response[Profile]:
    """Your account."""
    return Response(_profile(await accounts.profile(caller.customer_id)), headers=NO_STORE)


@put("/me")
async def put_me(
    data: JSONBody[ProfileUpdate],
    caller: SignedInCaller,
    accounts: TheAccounts,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Response[Profile]:
    """Change your name and phone. A new password ends all other sessions."""
    change = ProfileChange(
        name=data.name,
        phone=data.phone or "",
        password=data.password,
        current_password=data.current_password or "",
    )
    address = responder.address(request)
    customer, token = await accounts.update_profile(caller.customer_id, change, address)
    cookies = [responder.cookie(token)] if token else []
    return Response(_profile(customer), headers=NO_STORE, cookies=cookies)


@get(
    "/.well-known/jwks.json",
    cache_control=CacheControlHeader(max_age=JWKS_SECONDS, public=True),
)
async def jwks(signing_keys: TheSigningKeys) -> dict[str, Any]:
    """The public keys that verify access tokens."""
    return await signing_keys.jwks()


@get("/revocations")
async def get_revocations(request: AnyRequest, revocations: TheRevocations) -> Response[Any]:
    """Sessions that ended while their access tokens are still valid, by id, with the Unix time at
    which the last such token expires. Services refuse these tokens."""
    body, tag = await revocations.body()
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if matches(tag, request.headers.get("if-none-match", "")):
        return Response(None, status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _profile(customer: Customer) -> Profile:
    return Profile(
        customer_id=customer.customer_id,
        email=customer.email,
        name=customer.name,
        phone=customer.phone,
        role=customer.role,
        created_at=customer.created_at,
    )


def auth_router(
    accounts: Accounts,
    authenticator: Authenticator,
    links: SignInLinks,
    signing_keys: SigningKeys,
    responder: TokenResponder,
    revocations: PublishedRevocations,
) -> Router:
    """The routes under /api/auth, without those of personal data."""
    return Router(
        path=PATH,
        route_handlers=[
            register,
            login,
            request_link,
            use_link,
            guest,
            refresh,
            logout,
            get_me,
            put_me,
            jwks,
            get_revocations,
        ],
        guards=[refuse_foreign_pages],
        dependencies={
            "accounts": Provide(lambda: accounts, sync_to_thread=False),
            "authenticator": Provide(lambda: authenticator, sync_to_thread=False),
            "links": Provide(lambda: links, sync_to_thread=False),
            "signing_keys": Provide(lambda: signing_keys, sync_to_thread=False),
            "responder": Provide(lambda: responder, sync_to_thread=False),
            "revocations": Provide(lambda: revocations, sync_to_thread=False),
        },
    )
