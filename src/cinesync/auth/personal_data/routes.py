"""HTTP routes of a customer's own data: download it, and erase it."""

from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody

from cinesync.auth.personal_data.erasure import Erasure
from cinesync.auth.routes import (
    NO_STORE,
    PATH,
    TheTokenResponder,
    TokenResponder,
    refuse_foreign_pages,
)
from cinesync.auth.schemas import EraseWithCode, EraseWithPassword
from cinesync.chassis.http.parameters import AnyRequest, SignedInCaller

TheErasure = NamedDependency[Erasure]


@get("/me/data")
async def data(caller: SignedInCaller, erasure: TheErasure) -> Response[dict[str, Any]]:
    """All data that auth stores about you. Booking, payment and ledger answer `/me/data` too."""
    return Response(await erasure.data_of(caller.customer_id), headers=NO_STORE)


@post("/me/erase", status_code=204)
async def erase(
    data: JSONBody[EraseWithPassword],
    caller: SignedInCaller,
    erasure: TheErasure,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Response[None]:
    """Erase your account for good. 409 names what has to be finished first."""
    address = responder.address(request)
    await erasure.erase_with_password(caller.customer_id, data.password, address)
    return Response(None, cookies=[responder.cookie(None)])


@post("/links/erase", status_code=204)
async def erase_by_link(
    data: JSONBody[EraseWithCode],
    erasure: TheErasure,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Response[None]:
    """Erase the account and all guest purchases of the e-mail that the link was mailed to."""
    await erasure.erase_with_code(data.code, responder.address(request))
    return Response(None, cookies=[responder.cookie(None)])


def personal_data_router(erasure: Erasure, responder: TokenResponder) -> Router:
    """The routes of personal data under /api/auth."""
    return Router(
        path=PATH,
        route_handlers=[data, erase, erase_by_link],
        guards=[refuse_foreign_pages],
        dependencies={
            "erasure": Provide(lambda: erasure, sync_to_thread=False),
            "responder": Provide(lambda: responder, sync_to_thread=False),
        },
    )
