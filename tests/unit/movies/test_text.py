"""What files do to text is undone; what people wrote stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesync.movies.text import Misread, identity, normal, readable
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
def test_text_broken_by_files_reads_as_it_was_meant(broken: str, meant: str) -> None:
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
def test_letters_read_as_mac_roman_are_read_again_when_asked(broken: str, meant: str) -> None:
    assert readable(broken) == broken
    assert readable(broken, Misread.MAC_ROMAN) == meant


def test_a_text_that_is_right_as_it_stands_is_not_taken_for_mac_roman() -> None:
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
def test_text_that_is_right_is_left_alone(text: str) -> None:
    assert readable(text) == text


@relaxed
@given(st.text(max_size=80))
def test_readable_text_is_one_clean_line(text: str) -> None:
    result = readable(text)
    assert result == result.strip()
    assert "\n" not in result
    assert "\x00" not in result


@relaxed
@given(st.text(max_size=80))
def test_normal_text_has_no_wildcards_and_stays_normal(text: str) -> None:
    result = normal(text)
    assert not set(result) & set("%_\\\x00")
    assert normal(result) == result


def test_texts_read_as_equal_are_equal() -> None:
    assert normal("Ocean’s  ELEVEN") == normal("oceans eleven")
    assert normal("Amélie & Co.") == "amelie and co"


def test_search_folds_accents_and_vowel_points_but_no_letters() -> None:
    assert normal("Pelé") == normal("pele")
    assert normal("مُحَمَّد") == normal("محمد")
    assert normal("मेला") != normal("माला")
    assert normal("がん") != normal("かん")


@relaxed
@given(st.text(max_size=80))
def test_an_identity_is_its_own(text: str) -> None:
    assert identity(identity(text)) == identity(text)
