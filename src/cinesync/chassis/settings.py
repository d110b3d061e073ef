"""Settings are typed dataclasses, read once from the environment, owned by who reads them."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

S = TypeVar("S")

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})
DIFFERENT_CHARACTERS_MIN = 8  # 32 random hexadecimal digits have fewer once in ten million times


class SettingsError(ValueError):
    """Settings are missing or wrong; the message names each of them."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Marks a setting that must stay unknown: `Annotated[str, "its doc", Secret()]`.

    A secret that is set has at least `bytes_min` bytes, not always the same few, and begins with
    one of `prefixes`. Its value is in no message and no `repr`. `is_list`: several, by commas.
    """

    bytes_min: int = 32  # 256 bits: what HMAC-SHA-256 and AES-256 take (RFC 2104 section 3)
    prefixes: tuple[str, ...] = ()
    is_list: bool = False

    def check(self, text: str) -> None:
        """Raises ValueError saying what is wrong, without the value."""
        for one in text.split(",") if self.is_list else [text]:
            if self.prefixes and not one.startswith(self.prefixes):
                raise ValueError(f"does not begin with {' or '.join(self.prefixes)}")
            if len(one.encode()) < self.bytes_min:
                raise ValueError(f"is too short: at least {self.bytes_min} random bytes")
            if self.bytes_min and len(set(one)) < DIFFERENT_CHARACTERS_MIN:
                raise ValueError("is not random: always the same few characters")


class HiddenText(str):
    """A secret's value: as any text, but `repr` does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(hidden)'"


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
    for field in _described(settings_type):
        raw = environ.get(field.variable)
        # Set to nothing is not set, as everywhere else: an empty secret would be no secret.
        if raw is None or not raw.strip():
            if field.default is MISSING:
                problems.append(f"{field.variable} is not set ({field.doc})")
            continue
        try:
            values[field.name] = _parse(field, raw)
        except ValueError as error:
            problems.append(_problem(field, raw, error))
    if problems:
        raise SettingsError("; ".join(problems))
    return settings_type(**values)


def describe(settings_type: type[Any]) -> list[SettingDoc]:
    """What `load` reads, for people."""
    return [
        SettingDoc(field.variable, _kind_name(field), _default(field), field.doc)
        for field in _described(settings_type)
    ]


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a settings type."""

    name: str
    kind: type[Any]
    default: Any
    doc: str
    secret: Secret | None

    @property
    def variable(self) -> str:
        return self.name.upper()


def _described(settings_type: type[Any]) -> Iterator[_Field]:
    hints = get_type_hints(settings_type, include_extras=True)
    for item in fields(settings_type):
        hint, doc, secret = hints[item.name], "", None
        if get_origin(hint) is Annotated:
            hint, doc, *marks = get_args(hint)
            secret = next((mark for mark in marks if isinstance(mark, Secret)), None)
        if get_origin(hint) in {Union, types.UnionType}:
            hint = next(kind for kind in get_args(hint) if kind is not type(None))
        yield _Field(item.name, hint, item.default, doc, secret)


def _parse(field: _Field, raw: str) -> Any:
    if field.secret is not None:
        field.secret.check(raw.strip())
        return HiddenText(raw.strip())
    if field.kind is bool:
        word = raw.strip().lower()
        if word not in TRUE_WORDS | FALSE_WORDS:
            raise ValueError(raw)
        return word in TRUE_WORDS
    return field.kind(raw.strip())


def _problem(field: _Field, raw: str, error: ValueError) -> str:
    if field.secret is not None:
        return f"{field.variable} {error} ({field.doc})"
    return f"{field.variable}={raw!r} is not {_kind_name(field)} ({field.doc})"


def _default(field: _Field) -> str:
    return "required" if field.default is MISSING else repr(field.default)


def _kind_name(field: _Field) -> str:
    if field.secret is not None:
        return "a secret"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(field.kind, field.kind.__name__)
