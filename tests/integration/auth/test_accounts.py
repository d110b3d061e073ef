"""Registration, sign-in, profiles and guests."""

import asyncio
import itertools

import pytest

from cinesync.auth import service
from cinesync.auth.credentials.passwords import PasswordCheck
from cinesync.auth.fields import fold_email
from cinesync.auth.model import NewCustomer
from cinesync.chassis import clock
from cinesync.chassis.problems import NotFound
from tests.integration.auth.conftest import PASSWORD, Auth, OpenAuth


async def test_an_account_is_opened_and_its_owner_signs_in(auth: Auth) -> None:
    opened = await auth.register(" Ada@Example.ORG ", phone="+44 (20) 7946-0000")
    assert opened.status_code == 201
    profile = opened.json()
    assert profile["email"] == "Ada@Example.ORG"
    assert profile["phone"] == "+442079460000"
    assert profile["role"] == "customer"
    answer = await auth.login("ada@example.org")
    assert answer.status_code == 200
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 900
    assert answer.headers["cache-control"] == "no-store"
    assert (await auth.me(body["access_token"])).json() == profile


async def test_registering_emits_an_event_without_personal_data(auth: Auth) -> None:
    customer_id = (await auth.register("ada@example.org")).json()["customer_id"]
    [row] = await auth.query("SELECT name, body FROM outbox")
    assert row.name == "customer.registered"
    assert customer_id.encode() in row.body
    assert b"ada" not in row.body.lower()


async def test_one_email_has_one_account_however_it_is_written(auth: Auth) -> None:
    assert (await auth.register("ada@example.org")).status_code == 201
    for same in ("ADA@EXAMPLE.ORG", "ａｄａ@example.org", "\u00a0ada@example.org"):
        answer = await auth.register(same)
        assert answer.status_code == 409
        assert answer.json()["type"] == "/problems/email-taken"
    assert await auth.count("customers_local") == 1


async def test_one_of_many_concurrent_registrations_gets_the_email(open_auth: OpenAuth) -> None:
    here = await open_auth()
    there = await open_auth(database_of=here)
    answers = await asyncio.gather(
        *(process.register("ada@example.org") for process in (here, there) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert await here.count("customers_local") == 1
    assert await here.count("outbox") == 1


async def test_without_the_primary_key_one_email_has_two_accounts(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def claim_nothing(*_: object) -> bool:
        return True

    monkeypatch.setattr("cinesync.auth.store.claim_email", claim_nothing)
    assert (await auth.register("ada@example.org")).status_code == 201
    assert (await auth.register("ada@example.org")).status_code == 201


async def test_the_password_is_nowhere_in_the_database(auth: Auth) -> None:
    await auth.register("ada@example.org")
    [row] = await auth.query("SELECT email, name, phone, password_hash FROM customers_local")
    assert PASSWORD not in str(row)
    assert row.password_hash.startswith("$argon2id$")


async def test_every_wrong_field_is_named_with_what_would_be_right(auth: Auth) -> None:
    answer = await auth.register("nobody", password="short", name=" ", phone="12")
    assert answer.status_code == 422
    errors = {error["key"]: error["message"] for error in answer.json()["errors"]}
    assert errors == {
        "email": "one address, like name@example.org",
        "password": "8 to 128 characters",
        "name": "1 to 100 letters, no control characters",
        "phone": "6 to 15 digits, like +44 20 7946 0000",
    }


async def test_no_text_causes_a_server_error(auth: Auth) -> None:
    right = {"email": "a@example.org", "password": PASSWORD, "name": "A", "phone": ""}
    for field, poison in itertools.product(right, (r"\u0000", r"\ud800", r"\u202e", r"\u0000@a.b")):
        fields = {**right, field: poison + right[field]}
        raw = "{" + ",".join(f'"{name}": "{value}"' for name, value in fields.items()) + "}"
        answer = await auth.browser.post("/api/auth/register", content=raw)
        is_fine = field == "password" and poison != r"\ud800"
        assert answer.status_code in ({201, 409} if is_fine else {400, 422}), (field, poison)
        assert (await auth.browser.post("/api/auth/login", content=raw)).status_code in {400, 422}


NO_REQUESTS = (
    b"",
    b"\xff",
    b'"\xff"',
    b"[]",
    b"{",
    b'{"email": 1}',
    b'{"email": "\xff"}',
    b"null",
    b"[" * 60_000,
)


async def test_an_invalid_body_is_refused(auth: Auth) -> None:
    for path, body in itertools.product(("register", "login", "guest"), NO_REQUESTS):
        answer = await auth.browser.post(f"/api/auth/{path}", content=body)
        assert answer.status_code in {400, 422}, (path, body)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_huge_body_is_refused(auth: Auth) -> None:
    answer = await auth.register("ada@example.org", name="a" * 100_000)
    assert answer.status_code == 413


async def test_unknown_fields_are_refused_so_that_nobody_registers_as_manager(auth: Auth) -> None:
    answer = await auth.register("ada@example.org", role="manager")
    assert (answer.status_code, answer.json()["members"]) == (400, ["role"])


async def test_name_and_phone_change_and_the_rest_stays(auth: Auth) -> None:
    await auth.register("ada@example.org", phone="1234567")
    token = (await auth.login("ada@example.org")).json()["access_token"]
    changed = await auth.me(token, name=" Ada Lovelace ", phone="")
    assert changed.status_code == 200
    assert changed.json()["name"] == "Ada Lovelace"
    assert changed.json()["phone"] is None
    assert (await auth.login("ada@example.org")).status_code == 200
    refused = await auth.me(token, name="\x07")
    assert refused.json()["errors"][0]["key"] == "name"


async def test_a_new_password_needs_the_current_one_and_ends_all_other_sessions(
    open_auth: OpenAuth,
) -> None:
    auth = await open_auth()
    await auth.register("ada@example.org")
    thief = await open_auth(database_of=auth)
    await thief.login("ada@example.org")
    token = (await auth.login("ada@example.org")).json()["access_token"]
    change = {"name": "Ada", "password": "a better password"}
    assert (await auth.me(token, **change)).status_code == 401
    assert (await auth.me(token, **change, current_password="wrong guess")).status_code == 401
    assert (await auth.me(token, **change, current_password=PASSWORD)).status_code == 200
    assert (await auth.login("ada@example.org")).status_code == 401
    assert (await thief.post("refresh")).status_code == 401
    assert (await auth.post("refresh")).status_code == 200
    assert (await auth.login("ada@example.org", "a better password")).status_code == 200


async def test_two_changes_of_password_at_once_do_not_both_succeed(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await auth.register("ada@example.org")
    token = (await auth.login("ada@example.org")).json()["access_token"]
    answers = await asyncio.gather(
        *(
            auth.me(token, name="Ada", password=f"new password {n}", current_password=PASSWORD)
            for n in range(3)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]


async def test_no_session_begins_with_a_password_changed_while_it_was_verified(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await auth.register("ada@example.org")
    verify = auth.authenticator._passwords.verify
    changes = [await auth.authenticator._passwords.hash("a better password")]

    async def verify_then_change(password: str, password_hash: str | None) -> PasswordCheck:
        check = await verify(password, password_hash)
        if changes:
            await auth.query(
                "UPDATE customers_local SET password_hash = CAST(:h AS text)", h=changes.pop()
            )
        return check

    monkeypatch.setattr(auth.authenticator._passwords, "verify", verify_then_change)
    assert (await auth.login("ada@example.org")).status_code == 401
    assert await auth.count("sessions") == 0
    changes.append(await auth.authenticator._passwords.hash("a better password"))
    renewed = await auth.login("ada@example.org", "a better password")
    assert renewed.status_code == 200  # the new hash of the same password is verified again
    assert await auth.count("sessions") == 1


async def test_a_guest_gets_a_token_of_their_own_and_claims_no_email(auth: Auth) -> None:
    answer = await auth.post("guest", {"email": "ada@example.org"})
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    token = answer.json()["access_token"]
    caller = await auth.verifier.verify(token)
    assert caller.role == "guest"
    assert (await auth.me(token)).json()["email"] == "ada@example.org"
    other = (await auth.post("guest", {"email": "ada@example.org"})).json()["access_token"]
    assert (await auth.verifier.verify(other)).customer_id != caller.customer_id
    assert (await auth.register("ada@example.org")).status_code == 201
    assert (await auth.post("guest", {"email": "no"})).status_code == 422
    forbidden = await auth.me(token, name="G", password="a new password", current_password="")
    assert forbidden.status_code == 403
    assert await auth.count("outbox") == 1


async def test_many_concurrent_guests_get_one_token_each(auth: Auth) -> None:
    rush = (auth.post("guest", {"email": f"g{n}@example.org"}) for n in range(50))
    tokens = [answer.json()["access_token"] for answer in await asyncio.gather(*rush)]
    profiles = [(await auth.me(token)).json() for token in tokens]
    assert [profile["email"] for profile in profiles] == [f"g{n}@example.org" for n in range(50)]


async def test_a_token_of_a_deleted_account_finds_nothing(auth: Auth) -> None:
    await auth.register("ada@example.org")
    token = (await auth.login("ada@example.org")).json()["access_token"]
    await auth.query("DELETE FROM customers_local")
    assert (await auth.me(token)).status_code == 404
    assert (await auth.me(token, name="Ada")).status_code == 404
    assert (await auth.post("refresh")).status_code == 401
    with pytest.raises(NotFound):
        await auth.db.run(service.update_profile, clock.new_id(), "Ada", None)


async def test_ensuring_an_account_again_changes_nothing(auth: Auth) -> None:
    def account(role: str) -> NewCustomer:
        return NewCustomer(
            customer_id=clock.new_id(),
            region="local",
            email=fold_email("manager@cinesync.example"),
            name="Manager",
            phone=None,
            role="manager" if role == "manager" else "customer",
        )

    first = await auth.db.run(service.ensure_account, account("manager"))
    assert await auth.db.run(service.ensure_account, account("manager")) == first
    assert await auth.db.run(service.ensure_account, account("customer")) == first
    assert await auth.count("outbox") == 1


async def test_a_demo_address_taken_by_a_customer_does_not_become_a_manager(auth: Auth) -> None:
    await auth.register("manager@cinesync.example")
    manager_account = NewCustomer(
        customer_id=clock.new_id(),
        region="local",
        email=fold_email("manager@cinesync.example"),
        name="Manager",
        phone=None,
        role="manager",
    )
    assert (await auth.db.run(service.ensure_account, manager_account)).role == "customer"
