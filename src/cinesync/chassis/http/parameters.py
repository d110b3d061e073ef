"""Parameters that routes of several services take, with their limits."""

from typing import Annotated, Any, Final

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter

from cinesync.chassis.http.cursor import CURSOR_CHARS_MAX
from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.problems import Invalid

PAGE_ITEMS_MAX: Final = 100
FILTER_CHARS_MAX: Final = 100

AnyRequest = Request[Any, Any, Any]
SignedInCaller = NamedDependency[Caller]

After = Annotated[
    str | None,
    QueryParameter(max_length=CURSOR_CHARS_MAX, description="`next` of the page before"),
]
Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_ITEMS_MAX)]
TextFilter = Annotated[str | None, QueryParameter(max_length=FILTER_CHARS_MAX)]
IfNoneMatch = Annotated[str, HeaderParameter(name="If-None-Match")]
AcceptEncoding = Annotated[str, HeaderParameter(name="Accept-Encoding")]


def limit_up_to(items_max: int) -> QueryParameter:
    """For `Annotated[int, limit_up_to(200)]`: a list whose pages may be longer or shorter."""
    return QueryParameter(ge=1, le=items_max)


def plain_text(field: str, value: str | None) -> str | None:
    """A filter's text; None for an empty one. Raises Invalid for a NUL, which no database takes."""
    if value and "\x00" in value:
        raise Invalid(f"`{field}` is a text.", field=field)
    return value or None
