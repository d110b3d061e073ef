"""Limits of sign-ins and sign-ups, per account, address and process."""

import asyncio
import threading

import pytest

from cinesync.auth.authentication.accounts import SIGN_UPS_AT_ONCE_MAX
from cinesync.chassis.http.security.signed_client_address import VISITOR_HEADER, AddressSigner
from tests.integration.auth.conftest import PASSWORD, SECRET, Auth, OpenAuth

LIMITS = {"FAILURES_PER_ACCOUNT_MAX": "3", "FAILURES_PER_ADDRESS_MAX": "6"}
ACCOUNT_LIMIT = {"FAILURES_PER_ACCOUNT_MAX": "3", "FAILURES_PER_ADDRESS_MAX": "100"}


async def _guess(auth: Auth, email: str, times: int) -> list[int]:
    return [(await auth.login(email, f"wrong guess {n}")).status_code for n in range(times)]


async def test_after_some_wrong_guesses_an_account_waits_even_for_the_right_one(
    open_auth: OpenAuth,
) -> None:
    auth = await open_auth(**LIMITS)
    await auth.register("ada@example.org")
    assert await _guess(auth, "ada@example.org", 5) == [401, 401, 401, 429, 429]
    answer = await auth.login("ada@example.org")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 900
    await auth.query("UPDATE sign_in_failures SET failed_at = failed_at - interval '15 minutes'")
    assert (await auth.login("ada@example.org")).status_code == 200


async def test_the_wait_is_until_the_oldest_of_the_counted_failures_leaves_the_window(
    open_auth: OpenAuth,
) -> None:
    auth = await open_auth(**LIMITS)
    await _guess(auth, "ada@example.org", 3)
    await auth.query("UPDATE sign_in_failures SET failed_at = now() - interval '14 minutes'")
    answer = await auth.login("ada@example.org")
    assert answer.json()["retry_after_seconds"] <= 60


async def test_a_restart_and_another_process_know_the_failures(open_auth: OpenAuth) -> None:
    before = await open_auth(**LIMITS)
    await _guess(before, "ada@example.org", 3)
    after = await open_auth(database_of=before, client_address="192.0.2.99", **LIMITS)
    assert (await after.login("ada@example.org")).status_code == 429


async def test_an_unknown_email_gets_the_same_responses(open_auth: OpenAuth) -> None:
    auth = await open_auth(**ACCOUNT_LIMIT)
    await auth.register("known@example.org")
    for n in range(5):
        known = await auth.login("known@example.org", f"wrong guess {n}")
        unknown = await auth.login("unknown@example.org", f"wrong guess {n}")
        assert known.status_code == unknown.status_code
        assert known.json() == unknown.json() or known.status_code == 429
        assert set(known.headers) == set(unknown.headers)


async def test_an_unknown_email_costs_the_same_hash(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await auth.register("known@example.org")
    verified: list[str] = []
    scheme = auth.authenticator._passwords._scheme
    verify = scheme.verify_and_update

    def counted(password: str, stored: str) -> object:
        verified.append(stored.rsplit("$", 2)[0])
        return verify(password, stored)

    monkeypatch.setattr(scheme, "verify_and_update", counted)
    await auth.login("known@example.org", "wrong guess")
    await auth.login("unknown@example.org", "wrong guess")
    assert len(verified) == 2
    assert verified[0] == verified[1]  # the same algorithm at the same cost


async def test_the_dummy_password_is_refused(auth: Auth) -> None:
    assert (await auth.login("unknown@example.org", "nobody's password")).status_code == 401


async def test_an_address_that_tries_many_accounts_waits(open_auth: OpenAuth) -> None:
    auth = await open_auth(**LIMITS)
    await auth.register("ada@example.org")
    answers = [(await auth.login(f"a{n}@example.org")).status_code for n in range(8)]
    assert answers == [401] * 6 + [429] * 2
    assert (await auth.login("ada@example.org")).status_code == 429
    elsewhere = await open_auth(database_of=auth, client_address="198.51.100.4", **LIMITS)
    assert (await elsewhere.login("ada@example.org")).status_code == 200


async def test_probing_which_emails_have_accounts_is_throttled(open_auth: OpenAuth) -> None:
    auth = await open_auth(**LIMITS)
    await auth.register("ada@example.org")
    answers = [(await auth.register("ada@example.org")).status_code for _ in range(8)]
    assert answers == [409] * 6 + [429] * 2
    assert (await auth.register("new@example.org")).status_code == 429


async def test_probing_an_email_does_not_lock_its_owner_out(open_auth: OpenAuth) -> None:
    auth = await open_auth(**LIMITS)
    await auth.register("ada@example.org")
    for _ in range(6):
        await auth.register("ada@example.org")
    elsewhere = await open_auth(database_of=auth, client_address="198.51.100.4", **LIMITS)
    assert (await elsewhere.login("ada@example.org")).status_code == 200


async def test_a_school_class_registers_and_signs_in_from_one_address(auth: Auth) -> None:
    emails = [f"pupil{n}@school.example" for n in range(60)]
    opened = await asyncio.gather(*(auth.register(email) for email in emails))
    assert {answer.status_code for answer in opened} == {201}
    let_in = await asyncio.gather(*(auth.login(email) for email in emails))
    assert {answer.status_code for answer in let_in} == {200}
    one = await asyncio.gather(*(auth.login(emails[0]) for _ in range(30)))
    assert {answer.status_code for answer in one} == {200}
    assert await auth.count("sign_in_failures") == 0


async def test_a_success_deletes_the_owners_failures(open_auth: OpenAuth) -> None:
    auth = await open_auth(**LIMITS)
    await auth.register("ada@example.org")
    for _ in range(4):
        assert await _guess(auth, "ada@example.org", 2) == [401, 401]
        assert (await auth.login("ada@example.org")).status_code == 200


async def test_a_success_does_not_delete_failures_from_elsewhere(
    open_auth: OpenAuth,
) -> None:
    auth = await open_auth(**LIMITS)
    await auth.register("ada@example.org")
    elsewhere = await open_auth(database_of=auth, client_address="198.51.100.4", **LIMITS)
    assert await _guess(elsewhere, "ada@example.org", 2) == [401, 401]
    assert (await auth.login("ada@example.org")).status_code == 200
    assert await _guess(elsewhere, "ada@example.org", 2) == [401, 429]


async def test_strangers_cannot_lock_an_owner_out_of_where_they_signed_in_before(
    open_auth: OpenAuth,
) -> None:
    home = await open_auth(**LIMITS)
    await home.register("ada@example.org")
    await home.login("ada@example.org")
    stranger = await open_auth(database_of=home, client_address="198.51.100.4", **LIMITS)
    assert await _guess(stranger, "ada@example.org", 4) == [401, 401, 401, 429]
    assert (await home.login("ada@example.org")).status_code == 200
    assert await _guess(home, "ada@example.org", 4) == [
        401,
        401,
        401,
        429,
    ]  # they count too
    cafe = await open_auth(database_of=home, client_address="203.0.113.5", **LIMITS)
    assert (await cafe.login("ada@example.org")).status_code == 429


async def test_parallel_guesses_are_limited_too(open_auth: OpenAuth) -> None:
    auth = await open_auth(**ACCOUNT_LIMIT)
    await auth.register("ada@example.org")
    answers = await asyncio.gather(
        *(auth.login("ada@example.org", f"wrong guess {n}") for n in range(40))
    )
    assert sum(answer.status_code == 401 for answer in answers) <= 3 + 2


async def test_without_the_concurrency_limit_parallel_guesses_are_not_limited(
    open_auth: OpenAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = await open_auth(**ACCOUNT_LIMIT)
    monkeypatch.setattr(auth.authenticator._account_limit, "_width", 1_000)
    answers = await asyncio.gather(
        *(auth.login("ada@example.org", f"wrong guess {n}") for n in range(40))
    )
    assert sum(answer.status_code == 401 for answer in answers) > 5


async def test_a_forged_forwarding_header_does_not_change_the_address(
    open_auth: OpenAuth,
) -> None:
    auth = await open_auth(**LIMITS)
    for n in range(6):
        headers = {"X-Forwarded-For": f"203.0.113.{n}"}
        assert (await auth.login(f"a{n}@example.org", headers=headers)).status_code == 401
    headers = {"X-Forwarded-For": "203.0.113.77"}
    assert (await auth.login("b@example.org", headers=headers)).status_code == 429


async def test_behind_a_trusted_proxy_each_client_counts_separately(open_auth: OpenAuth) -> None:
    auth = await open_auth(**LIMITS, TRUSTED_PROXIES="192.0.2.0/24")
    guilty = {"X-Forwarded-For": "6.6.6.6, 203.0.113.1"}
    for n in range(6):
        assert (await auth.login(f"a{n}@example.org", headers=guilty)).status_code == 401
    assert (await auth.login("b@example.org", headers=guilty)).status_code == 429
    innocent = {"X-Forwarded-For": "203.0.113.2"}
    assert (await auth.login("b@example.org", headers=innocent)).status_code == 401


async def test_only_the_storefront_can_state_its_visitors_addresses(
    open_auth: OpenAuth,
) -> None:
    auth = await open_auth(**LIMITS)
    ours, made_up = AddressSigner(SECRET), AddressSigner("a guess")

    async def attempt(value: str) -> int:
        return (await auth.login("a@example.org", headers={VISITOR_HEADER: value})).status_code

    for n in range(6):
        guilty = {VISITOR_HEADER: ours.sign("203.0.113.1")}
        assert (await auth.login(f"a{n}@example.org", headers=guilty)).status_code == 401
    assert await attempt(ours.sign("203.0.113.1")) == 429
    assert await attempt(ours.sign("203.0.113.2")) == 401
    for n in range(6):
        forged = {VISITOR_HEADER: made_up.sign(f"203.0.113.{n}")}
        assert (await auth.login(f"b{n}@example.org", headers=forged)).status_code == 401
    for forged_value in (
        made_up.sign("203.0.113.9"),
        "203.0.113.9",
        "203.0.113.9 ",
        " ",
        "\x7f x",
    ):
        assert await attempt(forged_value) == 429, forged_value


async def test_failures_do_not_store_what_was_typed(auth: Auth) -> None:
    await auth.login("oops.my.password@example.org", PASSWORD)
    [row] = await auth.query("SELECT account_key, address FROM sign_in_failures")
    assert "oops" not in str(row)
    assert PASSWORD not in str(row)


async def test_more_sign_ins_than_can_be_hashed_are_refused_at_once(open_auth: OpenAuth) -> None:
    auth = await open_auth(HASHES_WAITING_MAX="2", HASH_THREADS="1")
    answers = await asyncio.gather(*(auth.login(f"a{n}@example.org") for n in range(20)))
    codes = {answer.status_code for answer in answers}
    assert codes == {401, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "2"
    assert (await auth.login("a@example.org")).status_code == 401  # and it recovers
    assert (
        await auth.count("sign_in_failures")
        == len([answer for answer in answers if answer.status_code == 401]) + 1
    )


async def test_too_many_attempts_at_once_are_refused(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinesync.auth.authentication.concurrency_limit.ADMITTED_MAX", 3)
    answers = await asyncio.gather(*(auth.login("ada@example.org") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [401] * 3 + [503] * 7
    assert (await auth.login("ada@example.org")).status_code == 401


async def test_a_hash_of_lower_cost_is_renewed_at_the_next_sign_in(
    open_auth: OpenAuth,
) -> None:
    cheap = await open_auth()
    await cheap.register("ada@example.org")
    dearer = await open_auth(database_of=cheap, HASH_MEMORY_KIB="128")
    assert (await dearer.login("ada@example.org")).status_code == 200
    [row] = await cheap.query("SELECT password_hash FROM customers_local")
    assert "m=128" in row.password_hash
    assert (await dearer.login("ada@example.org")).status_code == 200


async def test_a_password_of_any_length_is_answered(auth: Auth) -> None:
    answer = await auth.login("ada@example.org", "x" * 129)
    assert answer.status_code == 422
    assert (await auth.login("ada@example.org", "x")).status_code == 401
    assert (await auth.login("ada@example.org", "")).status_code == 401
    assert (await auth.login("not an e-mail")).status_code == 422


async def test_one_address_opens_no_more_accounts_than_a_school_class_needs(
    open_auth: OpenAuth,
) -> None:
    limit = {"SIGN_UPS_PER_ADDRESS_MAX": "5"}
    auth = await open_auth(**limit)
    emails = [f"bot{n}@example.org" for n in range(20)]
    answers = await asyncio.gather(*(auth.register(email) for email in emails))
    assert await auth.count("customers_local") < 5 + SIGN_UPS_AT_ONCE_MAX
    [refused, *_] = [answer for answer in answers if answer.status_code == 429]
    assert 0 < int(refused.headers["retry-after"]) <= 600
    elsewhere = await open_auth(database_of=auth, client_address="198.51.100.4", **limit)
    assert (await elsewhere.register("ada@example.org")).status_code == 201
    await auth.query("UPDATE throttled_actions SET acted_at = now() - interval '10 minutes'")
    assert (await auth.register("late@example.org")).status_code == 201


async def test_many_sign_ups_do_not_delay_sign_ins(open_auth: OpenAuth) -> None:
    """All threads for sign-ups are busy, and their queue is full."""
    auth = await open_auth(SIGN_UP_HASHES_WAITING_MAX="2")
    await auth.register("ada@example.org")
    passwords, free = auth.authenticator._passwords, threading.Event()
    taken = [asyncio.create_task(passwords._hashing.run(lambda: free.wait(60))) for _ in range(2)]
    await asyncio.sleep(0)
    try:
        busy = await auth.register("bea@example.org")
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
        assert (await auth.login("ada@example.org")).status_code == 200
    finally:
        free.set()
        await asyncio.gather(*taken)
    assert (await auth.register("bea@example.org")).status_code == 201
