"""What the personal data routes of all services share.

`GET /api/<service>/me/data` exports all that a service stores about the caller, by page;
`GET /api/<service>/me/unfinished` lists what must end before the caller can be erased.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from litestar import Response

from cinesync.chassis.http.cursor import Page, decode_cursor, encode_cursor

T = TypeVar("T")

FIRST_ID: Final = UUID(int=0)  # below every id
NO_STORE: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class UnfinishedView(Generic[T]):
    """What must end before a customer can be erased."""

    items: Sequence[T]


def after_id(after: str | None) -> UUID:
    """The id behind which a page of an export begins. Raises Invalid."""
    (last_id,) = decode_cursor(after, UUID) or (FIRST_ID,)
    return last_id


def export_response(
    items: Sequence[dict[str, Any]], last_id: UUID | None
) -> Response[Page[dict[str, Any]]]:
    """A page of an export; `last_id` is None on the last page. No cache stores it."""
    following = None if last_id is None else encode_cursor(last_id)
    return Response(Page(items, following), headers=NO_STORE)


def unfinished_response(items: Sequence[T]) -> Response[UnfinishedView[T]]:
    """No cache stores it."""
    return Response(UnfinishedView(items), headers=NO_STORE)
