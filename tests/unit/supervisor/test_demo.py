"""Which shops are demos, and that nobody is shown one by accident."""

import stat
from pathlib import Path

import pytest

from cinesync.auth.staff import DEMO_ROLES
from cinesync.supervisor import demo
from cinesync.supervisor.demo import Demo, Exposure, behind_proxy, decide
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.ports import ListenAddress

HERE = Exposure(ListenAddress("127.0.0.1", 8000))
WITH_TLS = Exposure(ListenAddress("0.0.0.0", 8000), has_tls=True)
BEHIND_PROXY = Exposure(ListenAddress("127.0.0.1", 8000), behind_proxy=True)


def test_a_first_start_on_loopback_is_a_demo_with_random_passwords(tmp_path: Path) -> None:
    made = decide(tmp_path, HERE)
    assert made.chain
    assert set(made.accounts) == set(DEMO_ROLES) == set(demo.EMAILS)
    assert len(set(made.accounts.values())) == len(DEMO_ROLES)
    assert decide(tmp_path, HERE) == made == demo.read(tmp_path)
    assert stat.S_IMODE((tmp_path / demo.DEMO_FILE).stat().st_mode) == 0o600
    assert not any(password in repr(made) for password in made.accounts.values())


@pytest.mark.parametrize("public", [WITH_TLS, BEHIND_PROXY])
def test_a_shop_that_others_reach_begins_empty_and_stays_so(
    tmp_path: Path, public: Exposure
) -> None:
    assert decide(tmp_path, public) == Demo(chain=False)
    assert decide(tmp_path, HERE) == Demo(chain=False)


@pytest.mark.parametrize("public", [WITH_TLS, BEHIND_PROXY])
def test_demo_accounts_are_refused_where_others_reach_them(
    tmp_path: Path, public: Exposure
) -> None:
    decide(tmp_path, HERE)
    with pytest.raises(StartFailed, match="`cinesync staff disable --demo` disables them"):
        decide(tmp_path, public)
    demo.forget_accounts(tmp_path)
    assert decide(tmp_path, public) == Demo(chain=True)
    assert decide(tmp_path, HERE) == Demo(chain=True)


def test_the_demo_option_adds_films_everywhere_and_accounts_on_loopback_only(
    tmp_path: Path,
) -> None:
    asked = Exposure(WITH_TLS.address, demo=True, has_tls=True)
    assert decide(tmp_path, asked) == Demo(chain=True)
    other = tmp_path / "other"
    other.mkdir()
    decide(other, BEHIND_PROXY)
    assert decide(other, Exposure(HERE.address, demo=True)).accounts


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example"])
def test_plain_http_over_a_network_is_refused_with_what_to_do(tmp_path: Path, host: str) -> None:
    with pytest.raises(StartFailed, match=r"plain HTTP: add --split.*--behind-proxy"):
        decide(tmp_path, Exposure(ListenAddress(host, 8000)))
    assert demo.read(tmp_path) is None
    decide(tmp_path, Exposure(ListenAddress(host, 8000), behind_proxy=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_is_this_machine(tmp_path: Path, host: str) -> None:
    assert decide(tmp_path, Exposure(ListenAddress(host, 8000))).chain


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / demo.DEMO_FILE).write_text("{}")
    with pytest.raises(StartFailed, match="cannot be read"):
        decide(tmp_path, HERE)


def test_behind_a_proxy_cookies_are_secure_and_the_proxy_is_believed() -> None:
    address = ListenAddress("127.0.0.1", 8000)
    assert behind_proxy(address, {}) == {
        "SHOP_URL": "https://127.0.0.1:8000",
        "TRUSTED_PROXIES": "127.0.0.1,::1",
        "WEB_TRUSTED_PROXIES": "1",
    }
    own = {"SHOP_URL": "https://kino.example", "TRUSTED_PROXIES": "10.0.0.0/8"}
    assert behind_proxy(address, own) == own | {"WEB_TRUSTED_PROXIES": "1"}
