"""Damaged texts are repaired; correct texts stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesync.movies.text import Misread, identity, readable, search_form
from tests.integration.movies.conftest import relaxed


@pytest.mark.parametrize(
    ("broken", "meant"),
    [
        ("LÃ©on", "Léon"),
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("Caf&amp;eacute; <i>Society</i>", "Café Society"),
        ("  The\tHelix...  Loaded \x00", "The Helix... Loaded"),
        ('Jeff ""King Jeff"" Hollins', 'Jeff "King Jeff" Hollins'),
    ],
)
def test_a_damaged_text_is_repaired(broken: str, meant: str) -> None:
    assert readable(broken) == meant


@pytest.mark.parametrize(
    ("broken", "meant"),
    [
        ("LÈon", "Léon"),
        ("De battre mon coeur s'est arrÍtÈ", "De battre mon coeur s'est arrêté"),
        ("Per qualche dollaro in pi˘", "Per qualche dollaro in più"),
        ("The Naked Gun 2Ω: The Smell of Fear", "The Naked Gun 2½: The Smell of Fear"),
        ("I Love You Ö Don't Touch Me!", "I Love You … Don't Touch Me!"),
        ("Die F‰lscher", "Die Fälscher"),
        ("Obsluhoval jsem anglickÈho kr·le", "Obsluhoval jsem anglického krále"),
    ],
)
def test_letters_decoded_as_mac_roman_are_repaired_on_request(broken: str, meant: str) -> None:
    assert readable(broken) == broken
    assert readable(broken, Misread.MAC_ROMAN) == meant


def test_a_correct_text_is_not_taken_for_mac_roman() -> None:
    for right in ("WALL·E", "Nº 9", "À bout de souffle", "ÉCOLE", "28 Days Later…"):
        assert readable(right, Misread.MAC_ROMAN) == right


@pytest.mark.parametrize(
    "text",
    [
        "Le Fabuleux destin d'Amélie Poulain",
        "Y tu mamá también",
        "ÉCOLE",
        "Élan",
        "Alien³",
        "Ri¢hie Ri¢h",
        "The LEGO® Movie™",
        "28 Days Later…",
        "千と千尋の神隠し",
        "سكر بنات",
        "Fräulein Smillas Gespür für Schnee",
        "3 < 5 > 2",
        "M*A*S*H",
        "WALL·E",
        "È stata la mano di Dio",
        "Nº 9",
        "50€",
        "À bout de souffle",
        "Á",
        "½",
        "2½",
        "¡Átame!",
        "Þór",
        "CORAÇÃO",
        "NÃO",
        "IRMÃ",
        "DeÁngelo",
        "Ωμέγα 5Ω",
        "1ª Dª María",
        "«Le Dîner»",
        "मेला",
        "I <heart> NY",
        "R&REG and Q&copy",
        "AT&T",
        "نور\u200f",
        "می\u200cخواهم",
    ],
)
def test_a_correct_text_stays(text: str) -> None:
    assert readable(text) == text


@relaxed
@given(st.text(max_size=80))
def test_a_readable_text_is_one_clean_line(text: str) -> None:
    result = readable(text)
    assert result == result.strip()
    assert "\n" not in result
    assert "\x00" not in result


@relaxed
@given(st.text(max_size=80))
def test_a_search_form_has_no_wildcards_and_is_idempotent(text: str) -> None:
    result = search_form(text)
    assert not set(result) & set("%_\\\x00")
    assert search_form(result) == result


def test_texts_that_look_equal_have_one_search_form() -> None:
    assert search_form("Ocean’s  ELEVEN") == search_form("oceans eleven")
    assert search_form("Amélie & Co.") == "amelie and co"


def test_search_forms_ignore_accents_and_vowel_points_but_no_letters() -> None:
    assert search_form("Pelé") == search_form("pele")
    assert search_form("مُحَمَّد") == search_form("محمد")
    assert search_form("मेला") != search_form("माला")
    assert search_form("がん") != search_form("かん")


@relaxed
@given(st.text(max_size=80))
def test_an_identity_is_idempotent(text: str) -> None:
    assert identity(identity(text)) == identity(text)
