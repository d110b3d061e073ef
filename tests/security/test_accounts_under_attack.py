"""Attacks on a whole shop's accounts: floods of them, notorious passwords, owners locked out."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4  # noqa: TID251 a client makes its own names

import httpx
import pytest

from tests.support.eventually import wait_for
from tests.support.shop import RunningShop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("attacked accounts")]

LIMIT = 60
FLOOD = 137
AT_ONCE = 8
PASSWORD = "nobody else knows this"
NOTORIOUS = """
123456789 password password1 Password123! qwerty123 iloveyou letmein1 welcome1 admin123 sunshine
princess1 football baseball1 superman trustno1 dragon123 monkey123 master123 passw0rd P@ssw0rd
starwars 1q2w3e4r 1qaz2wsx zaq12wsx qwertyuiop asdfghjkl abcdefgh 987654321 11111111 abcabcabc
cinesync cinesync2024
"""


@pytest.fixture(scope="module")
def attacked(filled: Path) -> Iterator[RunningShop]:
    """With the limits that shops have."""
    shop = RunningShop(filled, SIGN_UPS_PER_ADDRESS_MAX=str(LIMIT)).start()
    yield shop
    shop.stop()


def _register(shop: RunningShop, email: str, password: str = PASSWORD) -> httpx.Response:
    body = {"email": email, "password": password, "name": "Somebody"}
    return httpx.post(f"{shop.url}/api/auth/register", json=body, timeout=60)


def _login(shop: RunningShop, email: str, password: str = PASSWORD) -> httpx.Response:
    body = {"email": email, "password": password}
    return httpx.post(f"{shop.url}/api/auth/login", json=body, timeout=60)


def test_common_passwords_are_refused(attacked: RunningShop) -> None:
    words = NOTORIOUS.split()
    assert len(words) == 32
    answers = {word: _register(attacked, "ada@example.org", word).status_code for word in words}
    assert {word for word, status in answers.items() if status != 422} == set()


def test_an_owner_who_is_locked_out_signs_in_by_mail(attacked: RunningShop) -> None:
    email = f"{uuid4()}@example.org"
    customer_id = _register(attacked, email).json()["customer_id"]
    while _login(attacked, email, "a wrong guess").status_code == 401:
        pass
    assert _login(attacked, email).status_code == 429
    asked = httpx.post(f"{attacked.url}/api/auth/links", json={"email": email})
    assert asked.status_code == 202
    folder = attacked.data_folder.path / "mail"
    mail = wait_for(lambda: next(folder.glob(f"{customer_id}.*.eml"), None), "a mail")
    [code] = re.findall(r"code=([\w-]+)", mail.read_text().replace("=\n", "").replace("=3D", "="))
    answer = httpx.post(f"{attacked.url}/api/auth/links/use", json={"code": code})
    assert answer.status_code == 200


def test_a_flood_of_sign_ups_ends_at_the_limit_and_owners_still_sign_in(
    attacked: RunningShop,
) -> None:
    email = f"{uuid4()}@example.org"
    assert _register(attacked, email).status_code == 201
    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        flood = [pool.submit(_register, attacked, f"{uuid4()}@example.org") for _ in range(FLOOD)]
        owner = pool.submit(_login, attacked, email)
    codes = [one.result().status_code for one in flood]
    assert set(codes) <= {201, 429, 503}
    assert codes.count(201) < LIMIT + 4, "those that are under way may pass"
    assert 429 in codes
    assert owner.result().status_code == 200
    assert _login(attacked, email).status_code == 200
