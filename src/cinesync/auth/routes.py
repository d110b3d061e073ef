"""HTTP routes of the auth service."""

from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response, Router, get, post, put
from litestar.connection import ASGIConnection
from litestar.datastructures import CacheControlHeader, Cookie
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody

from cinesync.auth.authenticator import Authenticator, Grant, ProfileChange
from cinesync.auth.model import (
    Customer,
    ForeignOrigin,
)
from cinesync.auth.published_revocations import PublishedRevocations
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
from cinesync.auth.sign_in_links import SignInLinks
from cinesync.auth.signing_keys import SigningKeys
from cinesync.chassis.http.etags import matches
from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.http.security.authentication import optional_caller, remember_token
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.problems import Unauthorized, Unavailable

REFRESH_COOKIE = "cinesync_refresh"
DEVICE_COOKIE = "cinesync_device"
PATH = "/api/auth"
JWKS_SECONDS = 300
AnyRequest = Request[Any, Any, Any]
TheCaller = NamedDependency[Caller]
TheAuthenticator = NamedDependency[Authenticator]
TheSigningKeys = NamedDependency[SigningKeys]
TheRevocations = NamedDependency[PublishedRevocations]
TheLinks = NamedDependency[SignInLinks]
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
NO_STORE = {"Cache-Control": "no-store"}  # RFC 6749 section 5.1


class TokenResponder:
    """Turns a grant into a response with cookies; knows the client's address."""

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
        """Where the request really comes from."""
        return self._addresses.of(request.scope)

    def cookie(self, refresh_token: str | None) -> Cookie:
        """None deletes it."""
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
        """Outlives the session: it says that this browser is known, and opens nothing."""
        return Cookie(
            key=DEVICE_COOKIE,
            value=device,
            max_age=self._device_seconds,
            path=PATH,
            httponly=True,
            secure=self._is_https,
            samesite="lax",
        )

    def answer(self, request: AnyRequest, grant: Grant) -> Response[TokenResponse]:
        """The access token for the page, the refresh token for the browser alone. What is made
        here need not be verified here.
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
    """Against request forgery, SameSite aside: a browser says which site's page is asking.

    Programs say nothing and are let through; they carry no one else's cookies.
    Raises ForeignOrigin.
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
    authenticator: TheAuthenticator,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Profile:
    """Open an account."""
    customer = await authenticator.register(
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
    return responder.answer(request, grant)


@post("/links", status_code=202)
async def request_link(
    data: JSONBody[LinkRequest], links: TheLinks, responder: TheTokenResponder, request: AnyRequest
) -> Response[None]:
    """Have a sign-in link mailed, good once. The answer is the same for an unknown e-mail."""
    await links.request(data.email, data.purpose, responder.address(request))
    return Response(None, headers=NO_STORE)


@post("/links/use", status_code=200)
async def use_link(
    data: JSONBody[LinkUse], links: TheLinks, responder: TheTokenResponder, request: AnyRequest
) -> Response[TokenResponse]:
    """Sign in with the code of a mailed link, and set a new password if there is one."""
    device = request.cookies.get(DEVICE_COOKIE)
    grant = await links.use(data.code, data.password, responder.address(request), device)
    return responder.answer(request, grant)


@post("/guest", status_code=200)
async def guest(
    data: JSONBody[GuestRequest],
    authenticator: TheAuthenticator,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Response[TokenResponse]:
    """Buy without an account: a token good for one purchase."""
    return responder.answer(request, await authenticator.admit_guest(data.email))


@post("/refresh", status_code=200)
async def refresh(
    authenticator: TheAuthenticator, responder: TheTokenResponder, request: AnyRequest
) -> Response[TokenResponse]:
    """Exchange the refresh cookie for a new access token and a new cookie."""
    return responder.answer(
        request,
        await authenticator.refresh(
            request.cookies.get(REFRESH_COOKIE), responder.address(request)
        ),
    )


@post("/logout", status_code=204)
async def logout(
    authenticator: TheAuthenticator, responder: TheTokenResponder, request: AnyRequest
) -> Response[None]:
    """Sign out: ends the session of the refresh cookie and of the access token, whichever is
    there. Always works."""
    try:
        caller = await optional_caller(request)
    except (Unauthorized, Unavailable):
        caller = None
    await authenticator.sign_out(
        request.cookies.get(REFRESH_COOKIE), caller, responder.address(request)
    )
    return Response(None, cookies=[responder.cookie(None)])


@get("/me")
async def get_me(caller: TheCaller, authenticator: TheAuthenticator) -> Response[Profile]:
    """Your account."""
    return Response(_profile(await authenticator.profile(caller)), headers=NO_STORE)


@put("/me")
async def put_me(
    data: JSONBody[ProfileUpdate],
    caller: TheCaller,
    authenticator: TheAuthenticator,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Response[Profile]:
    """Change your name and phone, and your password; that ends all other sessions."""
    change = ProfileChange(
        name=data.name,
        phone=data.phone or "",
        password=data.password,
        current_password=data.current_password or "",
    )
    customer, token = await authenticator.update_profile(caller, change, responder.address(request))
    cookies = [responder.cookie(token)] if token else []
    return Response(_profile(customer), headers=NO_STORE, cookies=cookies)


@get(
    "/.well-known/jwks.json",
    cache_control=CacheControlHeader(max_age=JWKS_SECONDS, public=True),
)
async def jwks(signing_keys: TheSigningKeys) -> dict[str, Any]:
    """The keys that access tokens are verified with."""
    return await signing_keys.jwks()


@get("/revocations")
async def get_revocations(request: AnyRequest, revocations: TheRevocations) -> Response[Any]:
    """Sessions that ended while their access tokens may still be good, by id, with the Unix time
    until which a token may name them. Services refuse such tokens."""
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
    authenticator: Authenticator,
    links: SignInLinks,
    signing_keys: SigningKeys,
    responder: TokenResponder,
    revocations: PublishedRevocations,
) -> Router:
    """Everything under /api/auth."""
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
            "authenticator": Provide(lambda: authenticator, sync_to_thread=False),
            "links": Provide(lambda: links, sync_to_thread=False),
            "signing_keys": Provide(lambda: signing_keys, sync_to_thread=False),
            "responder": Provide(lambda: responder, sync_to_thread=False),
            "revocations": Provide(lambda: revocations, sync_to_thread=False),
        },
    )
