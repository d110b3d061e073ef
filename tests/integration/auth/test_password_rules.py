"""Which new passwords are refused, and which are not."""

import pytest

from cinesync.auth.credentials.password_rules import _common, fold_password
from cinesync.auth.fields import fold_email
from tests.integration.auth.conftest import Auth

ADA = fold_email("ada.byron99@bücher.example")
LEAKED = (
    "12345678 123456789 1234567890 password password1 Password1! "
    "Password123 PassWord P@ssw0rd! Passw0rd2023 ｐａｓｓｗｏｒｄ passwordpassword "
    "passwort qwertyui qwertyuiop qwerty123! Qwerty12345 1q2w3e4r5t "
    "1qaz2wsx3edc zaq12wsx asdfghjkl iloveyou iloveyou2 letmein123 welcome1 "
    "Welcome123 football1 baseball1 superman trustno1 starwars "
    "administrator admin123 changeme default1 sunshine1 princess1 monkey123 "
    "michael1 computer internet 11111111 00000000 123123123 abcabcabc "
    "abcdefgh 987654321 Summer2024! Cinema123 aaaaaaaaaa abc12345"
)
WITH_THE_EMAIL = [
    "ada.byron99@bücher.example",
    "ADA.BYRON",
    "adabyron1",
    "my-ada.byron-99",
    "4d4byron!!",
    "bücher2024",
    "xn--bcher-kva",
]


@pytest.mark.parametrize("password", LEAKED.split())
def test_a_leaked_password_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="leaked passwords"):
        fold_password(password, ADA)


def test_the_list_is_a_long_one() -> None:
    everything, _ = _common()
    assert len(everything) > 10_000


@pytest.mark.parametrize("password", WITH_THE_EMAIL)
def test_a_password_with_the_owners_email_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="other than your e-mail"):
        fold_password(password, ADA)
    fold_password(password)  # another account may use it


@pytest.mark.parametrize(
    "password", ["Odeon Palace 7", "my0deonPalace", "cinesync", "C1nesync2024!"]
)
def test_a_password_with_the_shops_name_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="name of this shop"):
        fold_password(password, ADA, shop_name="Odeon Palace")


@pytest.mark.parametrize("password", ["seven77", "x" * 4 + "y" * 125])
def test_a_password_has_8_to_128_characters(password: str) -> None:
    with pytest.raises(ValueError, match="8 to 128"):
        fold_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "8 chars!",
        "пароль пароль",
        "🍿🎬🍿🎬🍿🎬🍿🎬",
        "x" * 127 + "y",
        "correct horse",
        "popcorn-and-a-movie",
    ],
)
def test_any_other_password_is_valid(password: str) -> None:
    assert fold_password(password, ADA, shop_name="Odeon Palace") == password


def test_a_name_of_three_letters_may_be_in_a_password() -> None:
    assert fold_password("nobody else knows", fold_email("bod@ody.example"))


def test_a_password_typed_on_another_keyboard_is_the_same() -> None:
    assert fold_password("cafe\u0301 noir sky") == fold_password("café noir sky")


async def test_weak_passwords_are_refused_at_registration_and_change(auth: Auth) -> None:
    refused = await auth.register("ada@example.org", password="Summer2024!")
    assert refused.status_code == 422
    assert (await auth.register("ada@example.org")).status_code == 201
    token = (await auth.login("ada@example.org")).json()["access_token"]
    for weak in ("Summer2024!", "my cinesync pass"):
        answer = await auth.me(
            token, name="Ada", password=weak, current_password="popcorn-and-a-movie"
        )
        assert answer.status_code == 422
        assert [error["key"] for error in answer.json()["errors"]] == ["password"]
