"""Fields of accounts: normal forms, and what is refused."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cinesync.auth.fields import Email, Fields, InvalidFields, fold_email, fold_name, fold_phone

# A busy machine must not fail a test.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("typed", "address", "norm"),
    [
        ("ada@example.org", "ada@example.org", "ada@example.org"),
        ("  Ada@Example.ORG\n", "Ada@Example.ORG", "ada@example.org"),
        ("ａｄａ＠example．org", "ada@example.org", "ada@example.org"),
        ("o'neil+cinema@mail.example.co.uk", "o'neil+cinema@mail.example.co.uk", None),
        ("jürgen@bücher.example", "jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
        ("用户@例子.广告", "用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"),
        ("STRASSE@example.org", "STRASSE@example.org", "strasse@example.org"),
        ("straße@example.org", "straße@example.org", "strasse@example.org"),
        ("a\ufe0fda@example.org", "a\ufe0fda@example.org", "ada@example.org"),
        ("ada@faß.example", "ada@faß.example", "ada@xn--fa-hia.example"),
        ("x@xn--bcher-kva.example", "x@xn--bcher-kva.example", None),
    ],
)
def test_an_email_is_known_by_its_folded_form(typed: str, address: str, norm: str | None) -> None:
    assert fold_email(typed) == Email(address, norm or address)


def test_a_decomposed_letter_is_the_composed_one() -> None:
    assert fold_email("ju\u0308rgen@example.org") == fold_email("jürgen@example.org")


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ada",
        "@example.org",
        "ada@",
        "ada@example",
        "ada@@example.org",
        "a da@example.org",
        "ada@exa mple.org",
        ".ada@example.org",
        "ada..b@example.org",
        "ada@-example.org",
        "ada@example-.org",
        "ada@.example.org",
        "ada@example.org.",
        "ada@exam_ple.org",
        "ada\x00@example.org",
        "ada@example.org\x00",
        "ada\r\nBcc: all@example.org",
        "ada\u200b@example.org",
        "ada\u202e@example.org",
        "ada\ud800@example.org",
        "ada<script>@example.org",
        "a" * 65 + "@example.org",
        "a@" + "b" * 64 + ".org",
        "a@" + "b." * 130 + "org",
    ],
)
def test_an_invalid_email_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="one address"):
        fold_email(typed)


@relaxed
@given(st.text() | st.emails() | st.from_regex(r"\A\w{1,9}@\w{1,9}\.\w{2,5}\Z"))
def test_folding_an_email_again_changes_nothing(typed: str) -> None:
    try:
        email = fold_email(typed)
    except ValueError:
        return
    assert fold_email(email.norm) == Email(email.norm, email.norm)
    assert fold_email(email.address) == email
    assert "\x00" not in email.address
    assert not any(c.isspace() for c in email.address)
    email.address.encode()


@pytest.mark.parametrize("name", ["李", "Ada", "O’Neil-Smith Jr.", "می\u200cخواهم", "X Æ A-12"])
def test_names_of_any_script_are_valid(name: str) -> None:
    assert fold_name(f" {name}\t") == name


@pytest.mark.parametrize(
    "name", ["", "  ", "\u200d", "...", "a\x00", "a\nb", "a\u202eb", "a" * 101]
)
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 100 letters"):
        fold_name(name)


@relaxed
@given(st.text())
def test_a_name_that_passes_can_be_stored(name: str) -> None:
    try:
        folded = fold_name(name)
    except ValueError:
        return
    assert "\x00" not in folded
    folded.encode()
    assert fold_name(folded) == folded


@pytest.mark.parametrize(
    ("typed", "phone"),
    [("+44 (20) 7946-0000", "+442079460000"), ("089/123.456", "089123456"), (" ", None)],
)
def test_a_phone_is_stored_as_digits(typed: str, phone: str | None) -> None:
    assert fold_phone(typed) == phone


@pytest.mark.parametrize(
    "typed", ["12345", "1" * 16, "++123456", "12a456", "१२३४५६७", "1\x002345678"]
)
def test_an_invalid_phone_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="6 to 15 digits"):
        fold_phone(typed)


def test_all_wrong_fields_are_named_at_once() -> None:
    fields = Fields()
    fields.check("email", fold_email, "no")
    assert fields.check("name", fold_name, "Ada") == "Ada"
    fields.check("phone", fold_phone, "1")
    with pytest.raises(InvalidFields) as caught:
        fields.raise_if_wrong()
    assert [error["key"] for error in caught.value.members["errors"]] == ["email", "phone"]
    Fields().raise_if_wrong()
