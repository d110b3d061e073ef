"""The HTTP side of one's own data: all of it to keep, and to be forgotten."""

from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody

from cinesync.auth.erasure import Erasure
from cinesync.auth.routes import (
    NO_STORE,
    PATH,
    AnyRequest,
    TheCaller,
    TheTokenResponder,
    TokenResponder,
    refuse_foreign_pages,
)
from cinesync.auth.schemas import EraseWithCode, EraseWithPassword

TheErasure = NamedDependency[Erasure]


@get("/me/data")
async def data(caller: TheCaller, erasure: TheErasure) -> Response[dict[str, Any]]:
    """All that auth keeps of you. /api/booking, /payment and /ledger have their parts under
    /me/data too.
    """
    return Response(await erasure.data(caller), headers=NO_STORE)


@post("/me/erase", status_code=204)
async def erase(
    data: JSONBody[EraseWithPassword],
    caller: TheCaller,
    erasure: TheErasure,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Response[None]:
    """Erase your account, for good. 409 names what has to be finished first."""
    await erasure.erase_with_password(caller, data.password, responder.address(request))
    return Response(None, cookies=[responder.cookie(None)])


@post("/links/erase", status_code=204)
async def erase_by_link(
    data: JSONBody[EraseWithCode],
    erasure: TheErasure,
    responder: TheTokenResponder,
    request: AnyRequest,
) -> Response[None]:
    """Erase all that was bought or opened with the e-mail that the link was mailed to."""
    await erasure.erase_with_code(data.code, responder.address(request))
    return Response(None, cookies=[responder.cookie(None)])


def personal_data_router(erasure: Erasure, responder: TokenResponder) -> Router:
    """More of what is under /api/auth."""
    return Router(
        path=PATH,
        route_handlers=[data, erase, erase_by_link],
        guards=[refuse_foreign_pages],
        dependencies={
            "erasure": Provide(lambda: erasure, sync_to_thread=False),
            "responder": Provide(lambda: responder, sync_to_thread=False),
        },
    )
