"""Wiring, settings, the shape of the database, and a whole process that is killed."""

import pytest

from cinesync.chassis.settings import SettingsError, load
from cinesync.payment import app
from cinesync.payment.event_handlers import HANDLERS

ENVIRON = {
    "DATABASE_URL": "postgresql://nobody@localhost/none",
    "BOOKING_URL": "http://booking",
    "BANK_URL": "http://bank",
    "BANK_SECRET": "a secret that is as long as it has to be",
}


STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_that_is_as_long_as_it_has_to_be",
}


async def test_the_service_is_built_from_its_settings() -> None:
    service = app.create(load(app.Settings, ENVIRON))
    assert (service.name, service.handlers) == ("payment", HANDLERS)
    assert [loop.name for loop in service.loops()] == [
        "payment.sweep.sandbox",
        "payment.catch_up.sandbox",
        "payment.provider.sandbox",
    ]
    for hook in service.close:
        await hook()
    await service.database.close()


async def test_with_a_real_provider_there_is_no_sandbox() -> None:
    environ = ENVIRON | STRIPE
    assert set(app.build_gateways(load(app.Settings, ENVIRON))) == {"sandbox"}
    assert set(app.build_gateways(load(app.Settings, environ))) == {"stripe"}
    service = app.create(load(app.Settings, environ))
    assert len(service.background) == 3
    for hook in service.close:
        await hook()
    await service.database.close()


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"BANK_SECRET": ""}, "BANK_SECRET is not set"),
        ({"BANK_SECRET": "x"}, "BANK_SECRET is too short"),
        ({"BANK_SECRET": "x" * 40}, "BANK_SECRET is not random"),
        ({"STRIPE_SECRET_KEY": "pk_live_public"}, "STRIPE_SECRET_KEY does not begin with sk_test_"),
        ({"STRIPE_WEBHOOK_SECRET": ""}, "STRIPE_WEBHOOK_SECRET is not set"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_x"}, "STRIPE_WEBHOOK_SECRET is too short"),
        (
            {"STRIPE_WEBHOOK_SECRET": "we_1" * 12},
            "STRIPE_WEBHOOK_SECRET does not begin with whsec_",
        ),
    ],
)
def test_a_provider_without_a_true_secret_is_refused(wrong: dict[str, str], what: str) -> None:
    """Whoever can guess it makes webhooks of payments that never were."""
    with pytest.raises(SettingsError, match=what) as caught:
        app.create(load(app.Settings, ENVIRON | STRIPE | wrong))
    assert not any(value and value in str(caught.value) for value in wrong.values() if value != "x")


def test_a_provider_slower_than_our_patience_is_refused() -> None:
    with pytest.raises(SettingsError, match="PROVIDER_TIMEOUT_SECONDS"):
        app.create(load(app.Settings, ENVIRON | {"PROVIDER_TIMEOUT_SECONDS": "12"}))
