"""Request bodies are strict: every service refuses unknown members.

Ignoring a member that is misspelt, or newer than the service, would do something else than the
client wants. `check` raises for lenient handlers when a service is created.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from litestar import Litestar, Request
from litestar.routes import HTTPRoute

from cinesync.chassis.problems import Problem

WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# For a handler that reads `request.body()` itself, such as a provider's webhook.
READS_BODY: Final = {"reads_body": True}
TAKES_NO_BODY: Final = "takes_no_body"
UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
NAMED_MAX: Final = 10
NAME_CHARS_MAX: Final = 100


class UnknownMember(Problem):
    """The body has a member that is not known here."""


class NoBodyTaken(Problem):
    """This request takes no body."""


class LenientBody(TypeError):
    """The body type of a handler ignores unknown members."""


def check(app: Litestar) -> None:
    """Mark handlers that take no body. Raises LenientBody for a body that is not strict."""
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    for handler in (handler for route in routes for handler in route.route_handlers):
        body = inspect.signature(handler.fn).parameters.get("data")
        if body is not None:
            lenient = [found.__name__ for found in _lenient(get_args(body.annotation)[0])]
            if lenient:
                raise LenientBody(f"{handler}: {', '.join(lenient)}")
        elif not WITH_BODY.isdisjoint(handler.http_methods) and not handler.opt.get("reads_body"):
            handler.opt[TAKES_NO_BODY] = True


def _lenient(body: Any) -> Iterator[type]:
    """The types within a body type that would ignore unknown members."""
    waiting: list[Any] = [msgspec.inspect.type_info(body)]
    seen: list[Any] = []
    while waiting:
        kind = waiting.pop()
        if kind in seen:
            continue
        seen.append(kind)
        if isinstance(kind, msgspec.inspect.StructType) and not kind.forbid_unknown_fields:
            yield kind.cls
        if isinstance(kind, msgspec.inspect.DataclassType | msgspec.inspect.TypedDictType):
            yield kind.cls  # msgspec cannot make these strict
        waiting += _parts(kind)


def _parts(kind: Any) -> list[Any]:
    """The types of the fields and items of a type."""
    found: list[Any] = [field.type for field in getattr(kind, "fields", ())]
    for name in ("types", "item_types"):
        found += getattr(kind, name, ())
    for name in ("item_type", "key_type", "value_type"):
        part = getattr(kind, name, None)
        found += [part] if isinstance(part, msgspec.inspect.Type) else []
    return found


async def refuse_needless(request: Request[Any, Any, Any]) -> None:
    """Raises UnknownMember or NoBodyTaken for a body that no handler would read."""
    if not request.route_handler.opt.get(TAKES_NO_BODY):
        return
    body = await request.body()
    if not body.strip():
        return
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoBodyTaken from error
    if not isinstance(found, dict):
        raise NoBodyTaken
    if found:
        raise _unknown(list(found))


def unknown_member(errors: Sequence[Mapping[str, Any]]) -> UnknownMember | None:
    """The problem for an unknown member among the errors of msgspec and Litestar."""
    for error in errors:
        if found := UNKNOWN_FIELD.match(error.get("message", "")):
            where = error.get("key", "data")
            inside = "" if where in {"data", "body"} else f"{where}."
            return _unknown([f"{inside}{found[1]}"])
    return None


def _unknown(names: list[str]) -> UnknownMember:
    shown = [name[:NAME_CHARS_MAX] for name in names[:NAMED_MAX]]
    verb = "is" if len(names) == 1 else "are"
    listed = ", ".join(f"`{name}`" for name in shown)
    return UnknownMember(f"{listed} {verb} not known here; leave it out.", members=shown)
