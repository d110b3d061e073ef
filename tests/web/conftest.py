"""The storefront in front of the contract in memory, and a visitor."""

from collections.abc import Iterator

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient

from cinesync.web.app import Settings, create_app
from tests.web import fake_api, fake_world
from tests.web.fake_world import World


@pytest.fixture
def world() -> World:
    return fake_world.a_world()


@pytest.fixture
def app(world: World) -> Iterator[Flask]:
    with httpx.WSGITransport(fake_api.build(world)) as transport:
        app = create_app(Settings("http://api.test", "a secret of tests"), transport)
        app.config["WTF_CSRF_ENABLED"] = False
        yield app


@pytest.fixture
def visitor(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def customer(visitor: FlaskClient) -> FlaskClient:
    """A visitor who has signed in."""
    who = {"email": fake_world.EMAIL, "password": fake_world.PASSWORD}
    assert visitor.post("/sign-in", data=who).status_code == 303
    return visitor
