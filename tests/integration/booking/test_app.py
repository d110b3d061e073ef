"""The service as a whole: settings, wiring, migrations, tickets."""

import asyncio

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from cinesync.booking import app, loops
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis.settings import SettingsError, load
from cinesync.contracts import CONSUMERS
from tests.integration.auth.conftest import SECRET
from tests.support.booking import BookingHarness, scheduled
from tests.unit.booking.test_model import BOOKING, SHOW


def _keys(signer: TicketSigner) -> KeySet:
    return KeySet([ECKey.import_key(key) for key in signer.jwks()["keys"]])


def test_every_process_has_the_same_ticket_key() -> None:
    one, other = TicketSigner("a secret"), TicketSigner("a secret")
    assert one.jwks() == other.jwks()
    ticket = jwt.decode(one.sign(BOOKING, SHOW), _keys(other), algorithms=["ES256"])
    assert ticket.claims["sub"] == str(BOOKING.booking_id)


def test_another_secret_signs_nothing_that_we_accept() -> None:
    forged = TicketSigner("a guess").sign(BOOKING, SHOW)
    with pytest.raises(JoseError):
        jwt.decode(forged, _keys(TicketSigner("a secret")), algorithms=["ES256"])


def test_tickets_of_an_earlier_secret_stay_valid() -> None:
    old = TicketSigner("old").sign(BOOKING, SHOW)
    new = TicketSigner("new", ["old"])
    assert jwt.decode(old, _keys(new), algorithms=["ES256"]).claims["seats"] == ["A1"]
    assert jwt.decode(new.sign(BOOKING, SHOW), _keys(new), algorithms=["ES256"]).claims


def test_the_public_keys_are_public() -> None:
    assert all("d" not in key for key in TicketSigner("a secret").jwks()["keys"])


def test_a_ticket_fits_a_qr_code() -> None:
    assert len(TicketSigner("a secret").sign(BOOKING, SHOW)) < 600


async def test_the_service_is_wired_from_its_settings(harness: BookingHarness) -> None:
    environ = {
        "DATABASE_URL": harness.db.url,
        "SECRET_KEY": "a secret that is as long as it has to be",
        "EARLIER_SECRET_KEYS": "an older secret of ours,the oldest secret of all",
        "HOLD_SECONDS": "60",
    }
    service = app.create(load(app.Settings, environ))
    try:
        assert service.name == "booking"
        assert set(service.handlers) == {
            event for event, names in CONSUMERS.items() if "booking" in names
        }
        await service.database.ping()
    finally:
        await service.database.close()


def test_missing_settings_are_named() -> None:
    with pytest.raises(SettingsError, match=r"DATABASE_URL.*SECRET_KEY"):
        app.create(load(app.Settings, {}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HELD_SEATS_MAX", "0"),
        ("HELD_SEATS_ADDRESS_SHOW_MAX", "-1"),
        ("RELEASE_PAUSE_SECONDS", "-1"),
        ("TRUSTED_PROXIES", "nonsense"),
    ],
)
def test_a_limit_that_would_sell_nothing_is_refused_at_start(name: str, value: str) -> None:
    environ = {"DATABASE_URL": "postgresql://localhost/x", "SECRET_KEY": SECRET, name: value}
    with pytest.raises(SettingsError, match=name):
        app.create(load(app.Settings, environ))


async def test_cleanup_continues_batch_after_batch(
    harness: BookingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "BATCH_MAX", 1)
    show = await harness.schedule(scheduled())
    for seats in (("A1", "A2"), ("A3", "A4")):
        await harness.expire_holds(await harness.hold(show, *seats))
    loop = asyncio.create_task(loops.clean_up(harness.db, harness.terms))
    while await harness.seat_rows(show):  # noqa: ASYNC110 the database has no event
        await asyncio.sleep(0.01)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
