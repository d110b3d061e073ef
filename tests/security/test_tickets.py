"""A ticket admits once, for what it was sold for, as long as it is paid: attacks on that."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from cinesync.booking.admission import revocation_store as revocations
from cinesync.booking.admission import service as admissions
from cinesync.booking.admission import store as admission_store
from cinesync.booking.admission.rules import RefusedScan, Scan, ScanDecision, ScanResult
from cinesync.booking.show_changes import service as show_changes
from cinesync.booking.tickets import ALGORITHM, TOKEN_TYPE, TicketSigner, parse_ticket_id
from cinesync.chassis import audit_log, clock
from cinesync.chassis.audit_log import Actor
from cinesync.contracts.movies import ShowScheduled
from tests.integration.booking.client import BookingClient, OpenBookingClient
from tests.integration.booking.conftest import harness, migrated, open_client
from tests.support.booking import BookingHarness, called_off, scheduled

__all__ = ["harness", "migrated", "open_client"]  # fixtures
ADMISSIONS = "/api/booking/admissions"


@pytest.fixture
async def customer(open_client: OpenBookingClient) -> BookingClient:
    return await open_client()


@pytest.fixture
async def staff(open_client: OpenBookingClient) -> BookingClient:
    return await open_client("staff")


@pytest.fixture
async def show(customer: BookingClient) -> ShowScheduled:
    """It begins in an hour."""
    return await customer.harness.schedule(scheduled(starts_in_minutes=60))


async def scan(
    staff: BookingClient, ticket: str | None, scan_id: UUID | None = None, **more: Any
) -> dict[str, Any]:
    one = {"scan_id": str(scan_id or clock.new_id()), "gate": "Door 1", **more}
    if ticket is not None:
        one["ticket"] = ticket
    answer = await staff.http.post(ADMISSIONS, json={"scans": [one]})
    assert answer.status_code == 200, answer.text
    [found] = answer.json()["items"]
    result: dict[str, Any] = found
    return result


def claims_of(staff: BookingClient, token: str) -> dict[str, Any]:
    keys = KeySet([ECKey.import_key(key) for key in staff.context.signer.jwks()["keys"]])
    return dict(jwt.decode(token, keys, algorithms=[ALGORITHM]).claims)


async def test_a_ticket_admits_once_and_says_when_and_where(
    customer: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking = await customer.book(show, "A1", "A2")
    first = await scan(staff, booking["ticket"], show_id=str(show.show_id))
    assert (first["result"], first["seats"], first["used"]) == ("admitted", ["A1", "A2"], [])
    again = await scan(staff, booking["ticket"], show_id=str(show.show_id))
    assert (again["result"], again["seats"]) == ("already_used", [])
    assert {(used["seat"], used["gate"]) for used in again["used"]} == {
        ("A1", "Door 1"),
        ("A2", "Door 1"),
    }
    assert all(datetime.fromisoformat(used["scanned_at"]) for used in again["used"])


async def test_a_repeated_scan_gets_the_same_response(
    customer: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking = await customer.book(show, "A1", "A2")
    scan_id = clock.new_id()
    answers = [await scan(staff, booking["ticket"], scan_id) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["result"] == "admitted"


async def test_each_of_a_party_may_come_with_the_ticket_of_their_seat(
    customer: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking = await customer.book(show, "A1", "A2", "A3")
    path = f"/api/booking/bookings/{booking['booking_id']}/tickets"
    single = {one["seat"]: one for one in (await customer.get(path))["items"]}
    assert set(single) == {"A1", "A2", "A3"}
    assert (await scan(staff, single["A2"]["ticket"]))["seats"] == ["A2"]
    rest = await scan(staff, booking["ticket"])
    assert (rest["result"], rest["seats"]) == ("admitted", ["A1", "A3"])
    assert [used["seat"] for used in rest["used"]] == ["A2"]
    assert (await scan(staff, single["A1"]["ticket"]))["result"] == "already_used"


async def test_a_ticket_has_an_id_and_a_time(
    customer: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking = await customer.book(show, "A1", "A2")
    claims = claims_of(staff, booking["ticket"])
    assert parse_ticket_id(claims["jti"]).booking_id == UUID(booking["booking_id"])
    confirmed = datetime.fromisoformat(booking["confirmed_at"])
    assert claims["iat"] == int(confirmed.timestamp())
    ends = datetime.fromisoformat(booking["ends_at"])
    assert claims["exp"] == int((ends + timedelta(hours=6)).timestamp())


async def test_a_cancelled_ticket_is_refused_and_the_next_one_of_its_seat_admits(
    customer: BookingClient, staff: BookingClient
) -> None:
    show = await customer.harness.schedule(scheduled(starts_in_minutes=180))
    old = await customer.book(show, "A1", "A2")
    answer = await customer.http.post(f"/api/booking/bookings/{old['booking_id']}/cancel")
    assert answer.status_code == 200, answer.text
    new = await customer.book(show, "A1", "A2")
    refused = await scan(staff, old["ticket"])
    assert (refused["result"], refused["cancelled_seats"]) == ("cancelled", ["A1", "A2"])
    assert (await scan(staff, new["ticket"]))["result"] == "admitted"
    assert (await scan(staff, old["ticket"]))["result"] == "cancelled"


async def test_a_cancelled_seat_is_removed_from_its_ticket(
    customer: BookingClient, staff: BookingClient
) -> None:
    show = await customer.harness.schedule(scheduled(starts_in_minutes=180))
    booking = await customer.book(show, "A1", "A2", "A3")
    path = f"/api/booking/bookings/{booking['booking_id']}/cancel"
    assert (await customer.http.post(path, json={"seats": ["A3"]})).status_code == 200
    entered = await scan(staff, booking["ticket"])  # printed before
    assert (entered["result"], entered["seats"]) == ("admitted", ["A1", "A2"])
    assert entered["cancelled_seats"] == ["A3"]


async def test_the_ticket_of_a_cancelled_show_is_refused(
    customer: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking = await customer.book(show, "A1", "A2")
    await customer.harness.db.run(show_changes.cancel_shows, [called_off(show)])
    assert (await scan(staff, booking["ticket"]))["result"] == "cancelled"


async def test_an_admitted_ticket_cannot_be_cancelled(
    customer: BookingClient, staff: BookingClient
) -> None:
    show = await customer.harness.schedule(scheduled(starts_in_minutes=180))
    booking = await customer.book(show, "A1", "A2")
    await scan(staff, booking["ticket"], seats=["A1"])
    path = f"/api/booking/bookings/{booking['booking_id']}/cancel"
    refused = await customer.http.post(path)
    assert (refused.status_code, refused.json()["rule"]) == (422, "admitted")
    assert (await scan(staff, booking["ticket"]))["seats"] == ["A2"]


@pytest.mark.parametrize(
    ("starts_in_minutes", "gate", "result"),
    [
        (60, "its own", "admitted"),
        (60, "another show", "wrong_show"),
        (60, "another theater", "wrong_show"),
        (60, "its theater", "admitted"),
        (26 * 60, "its own", "wrong_day"),
        (-20 * 60, "its own", "wrong_day"),
    ],
)
async def test_a_ticket_is_good_for_its_show_at_its_time(
    customer: BookingClient, staff: BookingClient, starts_in_minutes: int, gate: str, result: str
) -> None:
    show = await customer.harness.schedule(scheduled())
    booking = await customer.book(show, "A1", "A2")
    await customer.harness.start_in(show, starts_in_minutes)
    lets_in_to: Any = {
        "its own": {"show_id": str(show.show_id)},
        "another show": {"show_id": str(clock.new_id())},
        "another theater": {"theater_id": str(clock.new_id())},
        "its theater": {"theater_id": str(show.theater_id)},
    }[gate]
    assert (await scan(staff, booking["ticket"], **lets_in_to))["result"] == result


async def test_an_offline_scanner_reports_its_admissions_later(
    customer: BookingClient, staff: BookingClient
) -> None:
    show = await customer.harness.schedule(scheduled())
    booking = await customer.book(show, "A1", "A2")
    other = await customer.book(show, "B1", "B2")
    await customer.harness.start_in(show, -24 * 60)
    scanned_at = (clock.now() - timedelta(hours=24)).isoformat()
    scans = [
        {"scan_id": str(clock.new_id()), "ticket": token, "scanned_at": scanned_at}
        for token in (booking["ticket"], other["ticket"], booking["ticket"], "torn")
    ]
    for _ in range(2):  # the answer was lost: it is sent again
        answer = await staff.http.post(ADMISSIONS, json={"scans": scans})
        results = [item["result"] for item in answer.json()["items"]]
        assert results == ["admitted", "admitted", "already_used", "unknown"]


async def test_old_tickets_without_an_id_are_checked_against_the_booking(
    customer: BookingClient, staff: BookingClient
) -> None:
    show = await customer.harness.schedule(scheduled(starts_in_minutes=180))
    booking = await customer.book(show, "A1", "A2")
    claims = claims_of(staff, booking["ticket"])
    for name in ("jti", "iat", "exp"):
        del claims[name]
    signer = staff.context.signer
    old = signer._signed(TOKEN_TYPE, claims)
    assert (await scan(staff, old, seats=["A1"]))["result"] == "admitted"
    assert (await scan(staff, old, seats=["A1"]))["result"] == "already_used"


@pytest.mark.parametrize("forgery", ["another key", "another type", "a ticket's id", "nothing"])
async def test_a_forged_ticket_is_unknown(
    customer: BookingClient, staff: BookingClient, show: ShowScheduled, forgery: str
) -> None:
    booking = await customer.book(show, "A1", "A2")
    claims = claims_of(staff, booking["ticket"])
    made: dict[str, Callable[[], str]] = {
        "another key": lambda: TicketSigner("guessed")._signed(TOKEN_TYPE, claims),
        "another type": lambda: staff.context.signer.sign_revocations(claims),
        "a ticket's id": lambda: claims["jti"],  # the ledger shows everybody bookings' ids
        "nothing": lambda: ".",
    }
    assert (await scan(staff, made[forgery]()))["result"] == "unknown"


async def test_refused_scans_are_stored_once_and_listed(
    customer: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking = await customer.book(show, "A1", "A2")
    wrong, scan_id = str(clock.new_id()), clock.new_id()
    results = [
        await scan(staff, booking["ticket"], scan_id, show_id=wrong)
        for _ in range(2)  # the first answer was lost
    ]
    results.append(await scan(staff, "no ticket", show_id=wrong))
    await scan(staff, booking["ticket"])
    results.append(await scan(staff, booking["ticket"]))
    assert [one["result"] for one in results] == ["wrong_show"] * 2 + ["unknown", "already_used"]
    path = "/api/booking/refused-scans"
    stored = (await staff.get(path))["items"]
    assert [one["result"] for one in stored] == ["already_used", "unknown", "wrong_show"]
    assert (stored[2]["scan_id"], stored[2]["show_id"]) == (str(scan_id), wrong)
    assert (stored[0]["booking_id"], stored[0]["show_id"]) == (
        booking["booking_id"],
        str(show.show_id),
    )
    assert (stored[0]["seats"], stored[0]["gate"]) == (["A1", "A2"], "Door 1")
    assert stored[1]["booking_id"] is None
    assert {one["staff_id"] for one in stored} == {str(staff.customer_id)}
    of_gate = await staff.get(path, show_id=wrong, limit=1)
    rest = await staff.get(path, show_id=wrong, limit=1, after=of_gate["next"])
    assert [*of_gate["items"], *rest["items"]] == stored[1:]
    assert rest["next"] is None
    assert (await staff.http.get(path, params={"after": "x"})).status_code == 422


async def test_refused_scans_are_forgotten_after_a_while(
    customer: BookingClient, staff: BookingClient
) -> None:
    db = customer.harness.db
    refused = [
        RefusedScan(
            scan_id=clock.new_id(),
            result=ScanResult.UNKNOWN,
            booking_id=None,
            seats=(),
            show_id=None,
            gate="Door 1",
            scanned_at=None,
        )
        for _ in range(3)
    ]
    await db.run(admission_store.insert_refused, refused, clock.new_id())
    middle = (await staff.get("/api/booking/refused-scans"))["items"][1]["refusal_id"]
    assert await db.run(admission_store.delete_refused, UUID(middle), 10) == 1
    assert await db.run(admission_store.delete_refused, clock.new_id(), 1) == 1
    assert len((await staff.get("/api/booking/refused-scans"))["items"]) == 1


async def test_by_hand_staff_let_in_a_booking_and_are_named_for_it(
    customer: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking = await customer.book(show, "A1", "A2")
    entered = await scan(staff, None, booking_id=booking["booking_id"], seats=["A2"])
    assert (entered["result"], entered["seats"]) == ("admitted", ["A2"])
    assert await audited(staff.harness) == [("ticket.admitted_by_hand", staff.customer_id)]


async def audited(harness: BookingHarness) -> list[tuple[str, UUID]]:
    entries = await harness.db.run_one(audit_log.page, audit_log.Filter())
    return [(entry.action, entry.actor_id) for entry in entries if entry.actor_id]


async def test_only_staff_let_in_look_up_and_see_what_is_revoked(
    customer: BookingClient, show: ShowScheduled
) -> None:
    body = {"scans": [{"scan_id": str(clock.new_id()), "ticket": "x"}]}
    assert (await customer.http.post(ADMISSIONS, json=body)).status_code == 403
    for path in (
        f"/api/booking/revocations?show_id={show.show_id}",
        f"/api/booking/lookup?booking_id={clock.new_id()}",
        "/api/booking/refused-scans",
    ):
        assert (await customer.http.get(path)).status_code == 403


async def test_two_simultaneous_scans_admit_once(
    customer: BookingClient, show: ShowScheduled
) -> None:
    bookings = [await customer.book(show, f"{row}1", f"{row}2") for row in "AB"]

    async def gate(number: int) -> list[ScanDecision]:
        scans = [
            Scan(
                scan_id=clock.new_id(),
                booking_id=UUID(booking["booking_id"]),
                ticket_show_id=None,
                seats=(),
                show_id=None,
                theater_id=None,
                gate=f"Door {number}",
                by_hand=False,
                scanned_at=None,
            )
            for booking in (bookings if number % 2 else bookings[::-1])
        ]
        by = Actor("staff", clock.new_id())
        return await customer.harness.db.run(admissions.admit, scans, by, clock.new_id())

    decided = [one for of in await asyncio.gather(*(gate(n) for n in range(6))) for one in of]
    for booking in bookings:
        mine = [one for one in decided if str(one.scan.booking_id) == booking["booking_id"]]
        assert sorted(str(one.result) for one in mine) == ["admitted", *["already_used"] * 5]
        [admitted] = [one for one in mine if one.fresh]
        assert {used.gate for one in mine for used in one.used} == {admitted.scan.gate}


async def test_a_list_of_revoked_tickets_is_signed_grows_and_is_not_sent_twice(
    customer: BookingClient, staff: BookingClient
) -> None:
    show = await customer.harness.schedule(scheduled())
    booking = await customer.book(show, "A1", "A2", "A3")
    whole = await customer.book(show, "B1", "B2")
    path = f"/api/booking/revocations?show_id={show.show_id}"
    empty = await staff.http.get(path)
    assert claims_of(staff, empty.json()["list"])["tickets"] == []
    tag = {"If-None-Match": empty.headers["etag"]}
    assert (await staff.http.get(path, headers=tag)).status_code == 304
    cancel = "/api/booking/bookings/{}/cancel"
    one_seat = {"seats": ["A3"]}
    await customer.http.post(cancel.format(booking["booking_id"]), json=one_seat)
    await customer.http.post(cancel.format(whole["booking_id"]))
    full = await staff.http.get(path, headers=tag)
    claims = claims_of(staff, full.json()["list"])
    names = {parse_ticket_id(ticket) for ticket in claims["tickets"]}
    assert names == {
        (UUID(booking["booking_id"]), "A3"),
        (UUID(whole["booking_id"]), "B1"),
        (UUID(whole["booking_id"]), "B2"),
    }
    assert (claims["seq"], claims["show_id"]) == (3, str(show.show_id))
    assert abs(claims["iat"] - clock.now().timestamp()) < 60


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"show_id": str(UUID(int=5))}, 200),
        ({"theater_id": str(UUID(int=5)), "day": "2031-05-03"}, 200),
        ({"theater_id": str(UUID(int=5))}, 422),
        ({"theater_id": str(UUID(int=5)), "day": "9999-12-31"}, 422),
        ({"theater_id": str(UUID(int=5)), "day": "0001-01-01"}, 422),
        ({"show_id": str(UUID(int=5)), "day": "2031-05-03"}, 422),
    ],
)
async def test_a_list_is_of_a_show_or_of_a_theaters_day(
    staff: BookingClient, asked: dict[str, str], status: int
) -> None:
    answer = await staff.http.get("/api/booking/revocations", params=asked)
    assert answer.status_code == status, answer.text


async def test_a_theaters_day_has_its_shows_and_those_that_were_cancelled(
    customer: BookingClient, staff: BookingClient
) -> None:
    theater: Any = {"theater_id": clock.new_id(), "time_zone": "Europe/Vienna"}
    begins = datetime(2031, 5, 3, 18, 0, tzinfo=UTC)
    first, off, next_day = [
        await customer.harness.schedule(
            scheduled(
                starts_at=begins + timedelta(days=days),
                ends_at=begins + timedelta(days=days, hours=2),
                **theater,
            )
        )
        for days in (0, 0, 2)
    ]
    for show in (first, off, next_day):
        booking = await customer.book(show, "A1", "A2")
        await customer.http.post(f"/api/booking/bookings/{booking['booking_id']}/cancel")
    await customer.harness.db.run(show_changes.cancel_shows, [called_off(off)])
    path = f"/api/booking/revocations?theater_id={theater['theater_id']}&day=2031-05-03"
    claims = claims_of(staff, (await staff.http.get(path)).json()["list"])
    assert claims["cancelled_shows"] == [str(off.show_id)]
    assert len(claims["tickets"]) == 2
    assert claims["seq"] == 5


async def test_a_dispute_revokes_the_tickets_of_a_booking_and_may_be_won(
    customer: BookingClient, staff: BookingClient, show: ShowScheduled
) -> None:
    booking = await customer.book(show, "A1", "A2")
    ids = [UUID(booking["booking_id"]), clock.new_id()]
    db = customer.harness.db
    for _ in range(2):
        await db.run(revocations.revoke_bookings, ids, revocations.DISPUTED)
    assert (await scan(staff, booking["ticket"]))["result"] == "cancelled"
    await db.run(revocations.restore_bookings, ids, revocations.DISPUTED)
    after = await db.read(revocations.of_show, show.show_id)
    assert (after.tickets, after.seq) == ([], 4)
    assert (await scan(staff, booking["ticket"]))["result"] == "admitted"


async def test_a_booking_is_found_by_several_keys(
    customer: BookingClient, staff: BookingClient
) -> None:
    show = await customer.harness.schedule(scheduled())
    old = await customer.book(show, "A1", "A2")
    await customer.http.post(f"/api/booking/bookings/{old['booking_id']}/cancel")
    new = await customer.book(show, "A1", "A2")
    ticket_id = claims_of(staff, new["ticket"])["jti"]
    asked: list[dict[str, Any]] = [
        {"booking_id": new["booking_id"]},
        {"ticket": new["ticket"]},
        {"ticket": ticket_id},
    ]
    for question in asked:
        found = await staff.get("/api/booking/lookup", **question)
        [item] = found["items"]
        assert (item["booking_id"], item["customer_id"]) == (
            new["booking_id"],
            str(customer.customer_id),
        )
    seat = await staff.get("/api/booking/lookup", show_id=str(show.show_id), seat="A1")
    assert [item["booking_id"] for item in seat["items"]] == [new["booking_id"], old["booking_id"]]
    assert seat["items"][1]["refunds"][0]["reason"] == "customer"
    nothing = await staff.get("/api/booking/lookup", ticket="what is this?")
    assert nothing == {"items": []}
    assert len(await audited(staff.harness)) == 5
    for wrong in ({}, {"seat": "A1"}, {"ticket": ticket_id, "booking_id": new["booking_id"]}):
        answer = await staff.http.get("/api/booking/lookup", params=wrong)
        assert answer.status_code == 422, wrong
