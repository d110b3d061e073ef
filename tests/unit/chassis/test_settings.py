"""Settings: typed, named in full when wrong, and described for people."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from cinesync.chassis import settings
from cinesync.chassis.settings import Secret, SettingsError


@dataclass(frozen=True)
class Cinema:
    """One field of each kind."""

    secret_key: Annotated[str, "signs things"]
    screens: Annotated[int, "how many"] = 3
    ratio: float = 1.85
    open_late: Annotated[bool, "after midnight"] = False
    motto: Annotated[str | None, "on the sign"] = None


def test_fields_are_read_from_variables_of_their_name() -> None:
    environ = {
        "SECRET_KEY": "s",
        "SCREENS": " 12 ",
        "RATIO": "2.39",
        "OPEN_LATE": "Yes",
        "MOTTO": "Lights out",
    }
    expected = Cinema("s", screens=12, ratio=2.39, open_late=True, motto="Lights out")
    assert settings.load(Cinema, environ) == expected


def test_what_is_not_set_has_its_default_and_unknown_variables_do_not_matter() -> None:
    assert settings.load(Cinema, {"SECRET_KEY": "s", "HOME": "/"}) == Cinema("s")


@pytest.mark.parametrize("word", ["0", "false", "NO", "off", ""])
def test_there_are_words_for_no(word: str) -> None:
    assert not settings.load(Cinema, {"SECRET_KEY": "s", "OPEN_LATE": word}).open_late


def test_everything_wrong_is_named_at_once() -> None:
    wrong = {"SCREENS": "many", "RATIO": "wide", "OPEN_LATE": "perhaps"}
    with pytest.raises(SettingsError) as caught:
        settings.load(Cinema, wrong)
    assert str(caught.value) == (
        "SECRET_KEY is not set (signs things); SCREENS='many' is not a whole number (how many);"
        " RATIO='wide' is not a number ();"
        " OPEN_LATE='perhaps' is not true or false (after midnight)"
    )


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_empty_secret_is_no_secret(blank: str) -> None:
    with pytest.raises(SettingsError, match="SECRET_KEY is not set"):
        settings.load(Cinema, {"SECRET_KEY": blank})


SECRET = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Safe:
    """Secrets of each kind."""

    key: Annotated[str, "signs things", Secret()]
    provider_key: Annotated[str, "opens the provider", Secret(bytes_min=0, prefixes=("sk_",))] = ""
    former: Annotated[str, "still verify", Secret(bytes_min=16, is_list=True)] = ""


def test_a_secret_is_read_and_never_shown() -> None:
    safe = settings.load(
        Safe, {"KEY": SECRET, "PROVIDER_KEY": "sk_1", "FORMER": f"{SECRET},{SECRET}"}
    )
    assert (safe.key, safe.provider_key) == (SECRET, "sk_1")
    assert SECRET not in repr(safe)
    assert "sk_1" not in repr(safe)
    assert settings.load(Safe, {"KEY": SECRET, "FORMER": ""}).former == ""
    assert [doc.kind for doc in settings.describe(Safe)] == ["a secret"] * 3


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"KEY": ""}, "KEY is not set (signs things)"),
        ({"KEY": "x"}, "KEY is too short: at least 32 random bytes (signs things)"),
        ({"KEY": "abab" * 10}, "KEY is not random: always the same few characters (signs things)"),
        ({"KEY": SECRET[:31]}, "KEY is too short: at least 32 random bytes (signs things)"),
        ({"PROVIDER_KEY": "pk_1"}, "PROVIDER_KEY does not begin with sk_ (opens the provider)"),
        ({"FORMER": f"{SECRET},x"}, "FORMER is too short: at least 16 random bytes (still verify)"),
    ],
)
def test_a_weak_secret_is_refused_and_not_repeated(wrong: dict[str, str], what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(Safe, {"KEY": SECRET} | wrong)
    assert str(caught.value) == what


def test_settings_are_listed_for_people() -> None:
    lines = [(d.name, d.kind, d.default, d.doc) for d in settings.describe(Cinema)]
    assert lines == [
        ("SECRET_KEY", "a text", "required", "signs things"),
        ("SCREENS", "a whole number", "3", "how many"),
        ("RATIO", "a number", "1.85", ""),
        ("OPEN_LATE", "true or false", "False", "after midnight"),
        ("MOTTO", "a text", "None", "on the sign"),
    ]
