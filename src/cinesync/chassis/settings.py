"""Settings are typed dataclasses, read once from the environment, owned by who reads them."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

S = TypeVar("S")

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})


class SettingsError(ValueError):
    """Settings are missing or wrong; the message names each of them."""


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One line of `cinesync settings`."""

    name: str
    kind: str
    default: str
    doc: str


def load(settings_type: type[S], environ: Mapping[str, str]) -> S:
    """Read each field of a dataclass from the variable of its name in upper case.

    Raises SettingsError naming everything that is missing or malformed, at once.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, kind, default, doc in _described(settings_type):
        raw = environ.get(name.upper())
        # An empty secret is no secret: what must be set must be set to something.
        if raw is None or (default is MISSING and not raw.strip()):
            if default is MISSING:
                problems.append(f"{name.upper()} is not set ({doc})")
            continue
        try:
            values[name] = _parse(kind, raw)
        except ValueError:
            problems.append(f"{name.upper()}={raw!r} is not {_kind_name(kind)} ({doc})")
    if problems:
        raise SettingsError("; ".join(problems))
    return settings_type(**values)


def describe(settings_type: type[Any]) -> list[SettingDoc]:
    """What `load` reads, for people."""
    return [
        SettingDoc(
            name.upper(), _kind_name(kind), "required" if default is MISSING else repr(default), doc
        )
        for name, kind, default, doc in _described(settings_type)
    ]


def _described(settings_type: type[Any]) -> Iterator[tuple[str, type[Any], Any, str]]:
    hints = get_type_hints(settings_type, include_extras=True)
    for item in fields(settings_type):
        hint, doc = hints[item.name], ""
        if get_origin(hint) is Annotated:
            hint, doc = get_args(hint)[:2]
        if get_origin(hint) in {Union, types.UnionType}:
            hint = next(kind for kind in get_args(hint) if kind is not type(None))
        yield item.name, hint, item.default, doc


def _parse(kind: type[Any], raw: str) -> Any:
    if kind is bool:
        word = raw.strip().lower()
        if word not in TRUE_WORDS | FALSE_WORDS:
            raise ValueError(raw)
        return word in TRUE_WORDS
    return kind(raw.strip())


def _kind_name(kind: type[Any]) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(kind, kind.__name__)
