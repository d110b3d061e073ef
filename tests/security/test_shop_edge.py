"""A whole shop's edge: where it listens, and what its services say to anything at all."""

import hmac
import time
from hashlib import sha256
from typing import Any

import httpx
import msgspec
import pytest

from tests.security.test_http_edge import ODD_BODIES, ODD_HEADERS, ODD_TARGETS
from tests.support.eventually import wait_for
from tests.support.listening import assert_on_this_machine_only, listening
from tests.support.raw_http import connect, exchange, request
from tests.support.shop import RunningShop

pytestmark = pytest.mark.slow

SERVICES = ("auth", "movies", "booking", "payment", "ledger")
POSTS = (
    "/api/auth/login",
    "/api/auth/register",
    "/api/auth/guest",
    "/api/booking/holds",
    "/api/booking/holds/read",
    "/api/payment/payments",
    "/api/payment/webhooks/sandbox",
    "/api/payment/webhooks/%00",
    "/api/movies/shows",
    "/shows/00000000-0000-0000-0000-000000000000/hold",
    "/sign-in",
)
FAULTS = ("http.crashed", "page_failed", "Traceback")


def faults(shop: RunningShop) -> list[str]:
    logs = (file.read_text(errors="replace") for file in shop.data_folder.logs.glob("*.log"))
    return [line for log in logs for line in log.splitlines() if any(f in line for f in FAULTS)]


def test_an_embedded_shop_listens_on_its_host_only(shop: RunningShop) -> None:
    stack = shop.supervisor
    assert_on_this_machine_only([*stack.children, *stack.validators, stack.bank], shop.address.port)
    assert stack.postgres.pid
    assert listening([stack.postgres.pid]) == set(), "PostgreSQL has a Unix socket only"


def test_nothing_that_is_sent_to_a_service_is_our_fault(shop: RunningShop) -> None:
    port = shop.address.port
    asked = [request(f"/api/{name}/{path}") for name in SERVICES for path in odd_paths()]
    asked += [request(target) for target in ODD_TARGETS]
    for path in ("/", "/api/booking/bookings", "/api/movies/shows?limit=x&after=%00&q=%ff"):
        asked += [request(path, headers=headers) for headers in ODD_HEADERS]
    for path in POSTS:
        for kind, body in ODD_BODIES:
            asked.append(request(path, method="POST", headers=[("Content-Type", kind)], body=body))
    answers = [(sent[:90], exchange(port, sent).status) for sent in asked]
    assert [one for one in answers if one[1] == 0 or one[1] >= 500] == []
    assert faults(shop) == []


def odd_paths() -> list[str]:
    assets = [f"docs-assets/{end}" for end in ("%00", "a%00.js", "../../x", "%2e%2e/x", "%ff")]
    assets += ["docs-assets/" + "a" * 4_000, "docs-assets/" + "a/" * 1_500]
    return [*assets, "docs/%00", "%00", "%ff", "none", "", "openapi.json/", "a" * 4_000]


def test_a_client_that_leaves_is_no_fault(shop: RunningShop) -> None:
    port = shop.address.port
    head = [("Content-Type", "application/json"), ("Content-Length", "100")]
    chunked = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
    for path in POSTS:
        with connect(port) as line:
            line.sendall(request(path, method="POST", headers=head) + b'{"a"')
        broken = exchange(port, request(path, method="POST", headers=chunked) + b"xyz\r\n{}\r\n")
        assert broken.status in {0, 400}, path
    for path in ("/", "/api/movies/shows", "/static/storefront/seatmap.js"):
        with connect(port) as line:
            line.sendall(request(path))
    assert exchange(port, request("/health/live")).status == 200
    assert faults(shop) == []


def sign(secret: str, body: bytes, at: str) -> dict[str, str]:
    mac = hmac.new(secret.encode(), at.encode() + b"." + body, sha256).hexdigest()
    return {"Bank-Signature": f"t={at},v1={mac}", "Content-Type": "application/json"}


ODD_NOTICES: list[Any] = [
    None,
    [],
    7,
    "x",
    {},
    {"event_id": None, "charge": None},
    {"event_id": "e", "charge": {}},
    {"event_id": "\x00", "charge": {"charge_id": "\x00"}},
    *(
        {"event_id": "e", "charge": {**whole, **odd}}
        for whole in [
            {
                "charge_id": "c",
                "reference": "00000000-0000-7000-8000-000000000000",
                "amount_cents": 1,
                "currency": "EUR",
                "state": "captured",
            }
        ]
        for odd in (
            {"state": "eaten"},
            {"state": ""},
            {"reference": "no id"},
            {"amount_cents": -1},
            {"amount_cents": 2**62},
            {"amount_cents": 10**30},
            {"currency": "\x00"},
            {"currency": "E" * 5_000},
            {"charge_id": "\x00"},
            {"charge_id": ""},
            {"decline_code": "\x00"},
            {"confirm_url": 7},
        )
    ),
]


def test_a_signed_notice_that_is_malformed_is_no_fault(shop: RunningShop) -> None:
    secret = shop.data_folder.secret("bank")
    now = str(int(time.time()))
    with httpx.Client(base_url=shop.url, timeout=60) as http:

        def post(body: bytes, at: str = now) -> int:
            path = "/api/payment/webhooks/sandbox"
            return http.post(path, content=body, headers=sign(secret, body, at)).status_code

        bodies = [msgspec.json.encode(one) for one in ODD_NOTICES]
        bodies += [b"", b"\xff\xfe", b"{", b"[" * 50_000, b'{"event_id":"\\ud800","charge":1}']
        found = {body[:90]: post(body) for body in bodies}
        assert {body: status for body, status in found.items() if status >= 500} == {}
        for at in ("now", "", "-1", "9" * 400, "1e9", "0x7"):
            assert post(b"{}", at) == 400, at
    assert faults(shop) == []


def test_private_responses_are_not_cacheable_and_public_ones_are(shop: RunningShop) -> None:
    client = shop.client().sign_in_as_guest()
    mine = {"Authorization": f"Bearer {client.token}"}
    show_id = client.a_show()["show_id"]
    with httpx.Client(base_url=shop.url, timeout=60, headers=mine) as http:
        for path in ("/api/booking/bookings", "/api/payment/payments", "/api/auth/me"):
            answer = http.get(path)
            assert "no-store" in answer.headers["cache-control"], path
            assert answer.headers["x-frame-options"] == "DENY"
        for path in ("/api/movies/shows", f"/api/booking/shows/{show_id}/seats"):
            answer = http.get(path)
            assert "no-store" not in answer.headers["cache-control"], path
            known = {"If-None-Match": answer.headers["etag"]}
            assert http.get(path, headers=known).status_code == 304
        page = http.get("/api/booking/docs")
        assert page.status_code == 200
        asset = http.get("/api/booking/docs-assets/swagger-ui.css")
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert asset.headers["content-type"].startswith("text/css")


def test_a_stream_that_is_refused_is_a_429_with_a_time(shop: RunningShop) -> None:
    """A page then polls (tests/unit/web/storefront/test_live_script.py)."""
    client = shop.client()
    path = f"/api/booking/shows/{client.a_show()['show_id']}/live"
    lines = []
    try:

        def refused() -> int:
            lines.append(connect(shop.address.port))
            lines[-1].sendall(request(path))
            head = lines[-1].recv(2_000)
            return int(head.split()[1]) if b" 200 " not in head else 0

        assert wait_for(refused, "there are too many") == 429
        assert exchange(shop.address.port, request("/api/movies/shows")).status == 200
        with httpx.Client(base_url=shop.url, timeout=60) as http:
            assert http.get(path).headers["retry-after"]
            assert http.get(path.replace("/live", "/seats")).status_code == 200
    finally:
        for line in lines:
            line.close()
