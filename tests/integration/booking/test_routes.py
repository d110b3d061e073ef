"""The HTTP contract of booking."""

from typing import Any
from uuid import UUID

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from cinesync.booking.payments import service as payments
from cinesync.booking.show_changes import service as show_changes
from cinesync.chassis import clock
from cinesync.chassis.http.cursor import encode_cursor
from tests.integration.booking.client import BookingClient, OpenBookingClient
from tests.support.booking import called_off, changed, refunded, row, scheduled

pytestmark = pytest.mark.slow


async def test_a_seat_map_has_every_seat_with_price_and_state(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    await client.book(show, "A1", "A2")
    await client.hold(show, "C1", "C2")
    seat_map = await client.get(f"/api/booking/shows/{show.show_id}/seats")
    assert seat_map["show_id"] == str(show.show_id)
    assert seat_map["currency"] == "EUR"
    assert seat_map["zones"] == [
        {"zone": "premium", "price_cents": 1500},
        {"zone": "standard", "price_cents": 1000},
    ]
    assert len(seat_map["seats"]) == len(show.layout.seats)
    seats = {seat["seat"]: seat for seat in seat_map["seats"]}
    assert seats["C1"] == {
        "seat": "C1",
        "row": "C",
        "number": 1,
        "zone": "premium",
        "kind": "standard",
        "x": 1.0,
        "y": 2.0,
        "companion_of": None,
        "price_cents": 1500,
        "state": "held",
    }
    assert seats["W1a"]["companion_of"] == "W1"
    assert seats["B1"]["state"] == "free"


async def test_a_seat_map_that_did_not_change_is_not_sent_again(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    path = f"/api/booking/shows/{show.show_id}/seats"
    first = await client.http.get(path)
    etag = first.headers["etag"]
    assert etag == f'W/"{first.json()["version"]}"'
    same = await client.http.get(path, headers={"If-None-Match": etag})
    assert (same.status_code, same.content) == (304, b"")
    await client.hold(show, "A1", "A2")
    newer = await client.http.get(path, headers={"If-None-Match": etag})
    assert newer.status_code == 200
    assert newer.json()["version"] > first.json()["version"]


async def test_a_seat_map_is_compressed_for_who_can_read_that(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    path = f"/api/booking/shows/{show.show_id}/seats"
    codings = ("identity", "gzip;q=0", "gzip, deflate, br")
    answers = [await client.http.get(path, headers={"Accept-Encoding": c}) for c in codings]
    assert [a.headers.get("content-encoding") for a in answers] == [None, None, "gzip"]
    assert {a.headers["vary"] for a in answers} == {"accept-encoding"}
    assert len({a.text for a in answers}) == 1
    lengths = [int(a.headers["content-length"]) for a in answers]
    assert lengths[2] < lengths[0] == len(answers[0].content)
    await client.hold(show, "A1")
    newer = await client.http.get(path, headers={"Accept-Encoding": "gzip"})
    assert newer.json()["version"] > answers[2].json()["version"]


async def test_the_seat_map_follows_every_command_at_once(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    assert set((await client.states(show)).values()) == {"free"}
    hold = await client.hold(show, "A1", "A2")
    assert (await client.states(show))["A1"] == "held"
    await client.http.delete(f"/api/booking/holds/{hold['hold_id']}")
    assert (await client.states(show))["A1"] == "free"
    booking = await client.book(show, "A1", "A2")
    client.context.hub.bookings_confirmed(await client.harness.events("booking.confirmed"))
    assert (await client.states(show))["A1"] == "booked"
    await client.http.post(f"/api/booking/bookings/{booking['booking_id']}/cancel")
    assert (await client.states(show))["A1"] == "free"


async def test_a_hold_says_what_it_costs_and_until_when(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    made = await client.hold(show, "B1", "B2")
    assert made["seats"] == ["B1", "B2"]
    assert (made["total_cents"], made["currency"], made["status"]) == (2000, "EUR", "held")
    assert made["extensions_left"] == 2
    found = await client.get(f"/api/booking/holds/{made['hold_id']}")
    assert found == made | {"server_time": found["server_time"]}


async def test_the_best_seats_are_held_on_request(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    body = {"show_id": str(show.show_id), "best": 3, "zone": "premium"}
    answer = await client.http.post("/api/booking/holds", json=body)
    assert answer.status_code == 201
    assert len(answer.json()["seats"]) == 3
    assert answer.json()["total_cents"] == 4500


async def test_taken_seats_are_a_conflict_with_alternatives(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    await client.hold(show, "B1", "B2")
    body = {"show_id": str(show.show_id), "seats": ["B2", "B3"]}
    answer = await client.http.post("/api/booking/holds", json=body)
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["type"] == "/problems/seat-taken"
    assert problem["seats"] == ["B2"]
    assert ["B3", "B4"] in problem["alternatives"]


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        ({"seats": ["A2", "A3"]}, "gap"),
        ({"seats": ["W1a"]}, "companion"),
        ({"seats": [f"A{n}" for n in range(1, 12)]}, "limit"),
        ({"best": 11}, "limit"),
        ({"seats": ["Z1"]}, "unknown_seat"),
        ({"best": 2, "zone": "royal"}, "unknown_seat"),
        ({}, "choice"),
        ({"seats": ["A1"], "best": 1}, "choice"),
    ],
)
async def test_a_broken_rule_is_named(
    client: BookingClient, body: dict[str, Any], broken: str
) -> None:
    show = await client.harness.schedule(scheduled())
    answer = await client.http.post(
        "/api/booking/holds", json={"show_id": str(show.show_id), **body}
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["rule"] == broken


@pytest.mark.parametrize(
    "body",
    [
        {"seats": ["A1"]},
        {"show_id": "nonsense", "seats": ["A1"]},
        {"show_id": str(UUID(int=1)), "best": 0},
        {"show_id": str(UUID(int=1)), "best": 1, "price_cents": 1},
        {"show_id": str(UUID(int=1)), "seats": [""]},
        {"show_id": str(UUID(int=1)), "seats": "A1"},
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(
    client: BookingClient, body: dict[str, Any]
) -> None:
    answer = await client.http.post("/api/booking/holds", json=body)
    assert answer.status_code in {400, 422}, answer.text


async def test_holding_needs_a_token(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    del client.http.headers["Authorization"]
    assert (await client.http.get(f"/api/booking/shows/{show.show_id}/seats")).status_code == 200
    for method, path in (
        ("POST", "/api/booking/holds"),
        ("GET", f"/api/booking/holds/{show.show_id}"),
        ("GET", "/api/booking/bookings"),
        ("GET", "/api/booking/bookings/stats"),
    ):
        body = {"show_id": str(show.show_id), "best": 1} if method == "POST" else None
        assert (await client.http.request(method, path, json=body)).status_code == 401


async def test_what_is_another_customers_is_not_found(
    client: BookingClient, open_client: OpenBookingClient
) -> None:
    show = await client.harness.schedule(scheduled())
    booking = await client.book(show, "A1", "A2")
    stranger = await open_client()
    booking_id = booking["booking_id"]
    for method, path in (
        ("GET", f"/api/booking/holds/{booking_id}"),
        ("DELETE", f"/api/booking/holds/{booking_id}"),
        ("POST", f"/api/booking/holds/{booking_id}/extend"),
        ("GET", f"/api/booking/bookings/{booking_id}"),
        ("POST", f"/api/booking/bookings/{booking_id}/cancel"),
        ("GET", f"/api/booking/bookings/{clock.new_id()}"),
        ("GET", f"/api/booking/shows/{clock.new_id()}/seats"),
        ("GET", f"/api/booking/shows/{clock.new_id()}/live"),
    ):
        assert (await stranger.http.request(method, path)).status_code == 404, path
    assert (await stranger.get("/api/booking/bookings"))["items"] == []


async def test_a_guest_buys_once(open_client: OpenBookingClient) -> None:
    guest = await open_client("guest")
    show = await guest.harness.schedule(scheduled())
    await guest.hold(show, "A1", "A2")
    body = {"show_id": str(show.show_id), "best": 1}
    answer = await guest.http.post("/api/booking/holds", json=body)
    assert (answer.status_code, answer.json()["rule"]) == (422, "guest")


async def test_a_released_hold_stays_known(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    hold = await client.hold(show, "A1", "A2")
    for _ in range(2):
        answer = await client.http.delete(f"/api/booking/holds/{hold['hold_id']}")
        assert answer.status_code == 204
    assert (await client.get(f"/api/booking/holds/{hold['hold_id']}"))["status"] == "released"


async def test_a_hold_that_ran_out_says_so_and_is_not_extended(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    hold = await client.hold(show, "A1", "A2")
    path = f"/api/booking/holds/{hold['hold_id']}"
    assert (await client.http.post(f"{path}/extend")).status_code == 200
    await client.harness.expire_holds(await client.harness.find(UUID(hold["hold_id"])))
    assert (await client.get(path))["status"] == "expired"
    assert (await client.http.post(f"{path}/extend")).status_code == 409


async def test_a_booking_carries_all_that_a_ticket_shows(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    booking = await client.book(show, "C4", "C5")
    wanted = {
        "status": "confirmed",
        "movie_title": "The General",
        "theater_name": "Kino Central",
        "city": "Vienna",
        "time_zone": "Europe/Vienna",
        "auditorium_name": "Saal 1",
        "seats": ["C4", "C5"],
        "total_cents": 3000,
        "currency": "EUR",
        "refund_state": "none",
        "refused_payments": [],
        "receipt": None,
    }
    assert {name: booking[name] for name in wanted} == wanted


async def test_a_ticket_is_verified_with_the_public_key_alone(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    booking = await client.book(show, "C4", "C5")
    del client.http.headers["Authorization"]
    answer = await client.http.get("/api/booking/tickets/jwks.json")
    keys = KeySet([ECKey.import_key(key) for key in answer.json()["keys"]])
    ticket = jwt.decode(booking["ticket"], keys, algorithms=["ES256"])
    assert ticket.header["typ"] == "ticket+jwt"
    assert ticket.claims["sub"] == booking["booking_id"]
    assert ticket.claims["seats"] == ["C4", "C5"]
    assert ticket.claims["show_id"] == str(show.show_id)


async def test_only_a_confirmed_booking_has_a_ticket(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    hold = await client.hold(show, "A1", "A2")
    path = f"/api/booking/bookings/{hold['hold_id']}"
    pending = await client.get(path)
    assert (pending["status"], pending["ticket"]) == ("held", None)
    assert (await client.http.post(f"{path}/cancel")).status_code == 409
    await client.harness.pay(await client.harness.find(UUID(hold["hold_id"])))
    cancelled = await client.http.post(f"{path}/cancel")
    assert cancelled.status_code == 200
    assert cancelled.json()["ticket"] is None
    assert (cancelled.json()["status"], cancelled.json()["refund_state"]) == (
        "cancelled",
        "pending",
    )
    assert (await client.http.post(f"{path}/cancel")).status_code == 200


async def test_money_that_goes_back_is_shown_with_the_booking(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    booking = await client.book(show, "A1", "A2")
    second = await client.harness.pay(await client.harness.find(UUID(booking["booking_id"])))
    await client.harness.db.run(payments.count_refunds, [refunded(second)])
    detail = await client.get(f"/api/booking/bookings/{booking['booking_id']}")
    [refused] = detail["refused_payments"]
    assert (refused["reason"], refused["refunded_cents"]) == ("already_paid", 2000)


async def test_bookings_are_listed_the_newest_first_page_by_page(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    booked = [(await client.book(show, f"{name}1", f"{name}2"))["booking_id"] for name in "ABC"]
    await client.hold(show, "A3", "A4")
    first = await client.get("/api/booking/bookings", limit=2)
    assert [item["booking_id"] for item in first["items"]] == [booked[2], booked[1]]
    rest = await client.get("/api/booking/bookings", limit=2, after=first["next"])
    assert [item["booking_id"] for item in rest["items"]] == [booked[0]]
    assert rest["next"] is None


async def test_bookings_are_listed_by_status(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    booking = await client.book(show, "A1", "A2")
    ran_out = await client.hold(show, "A3", "A4")
    await client.harness.expire_holds(await client.harness.find(UUID(ran_out["hold_id"])))
    await client.hold(show, "A5", "A6")

    async def listed(status: str) -> list[str]:
        page = await client.get("/api/booking/bookings", status=status)
        return [item["booking_id"] for item in page["items"]]

    assert await listed("confirmed") == [booking["booking_id"]]
    assert await listed("expired") == [ran_out["hold_id"]]
    assert len(await listed("held")) == 1
    assert await listed("cancelled") == []


@pytest.mark.parametrize(
    "query",
    [
        {"after": "nonsense"},
        {"after": "WyJ4IiwieSJd"},
        {"after": encode_cursor("0001-01-01T00:00:00+14:00", str(UUID(int=1)))},
        {"after": encode_cursor("2026-01-01T00:00:00+00:00", "nonsense")},
        {"limit": 0},
        {"limit": 101},
        {"status": "lost"},
    ],
)
async def test_a_list_asked_for_wrongly_says_so(
    client: BookingClient, query: dict[str, Any]
) -> None:
    answer = await client.http.get("/api/booking/bookings", params=query)
    assert answer.status_code in {400, 422}


async def test_a_stream_from_a_version_that_makes_no_sense_is_no_accident(
    client: BookingClient,
) -> None:
    show = await client.harness.schedule(scheduled())
    path = f"/api/booking/shows/{show.show_id}/live"
    assert (await client.http.get(path, params={"since": "9" * 5000})).status_code in {400, 422}
    await client.context.hub.close()
    answer = await client.http.get(path, headers={"Last-Event-ID": "9" * 5000})
    assert answer.status_code == 503


async def test_stats_count_what_one_bought_and_what_it_cost(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    dollars = await client.harness.schedule(scheduled(currency="USD"))
    await client.book(show, "A1", "A2")
    await client.book(dollars, "A1")
    cancelled = await client.book(show, "C1", "C2")
    await client.http.post(f"/api/booking/bookings/{cancelled['booking_id']}/cancel")
    stats = await client.get("/api/booking/bookings/stats")
    assert (stats["booking_count"], stats["cancelled_count"], stats["seat_count"]) == (2, 1, 3)
    assert [(m["currency"], m["spent_cents"], m["refund_cents"]) for m in stats["months"]] == [
        ("EUR", 2000, 3000),
        ("USD", 1000, 0),
    ]
    assert stats["months"][0]["month"] == f"{clock.now():%Y-%m}"


async def test_a_cancelled_show_is_a_conflict(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled())
    await client.harness.db.run(show_changes.cancel_shows, [called_off(show)])
    body = {"show_id": str(show.show_id), "best": 1}
    answer = await client.http.post("/api/booking/holds", json=body)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/show-is-off")


async def test_new_prices_reach_the_seat_map(client: BookingClient) -> None:
    show = await client.harness.schedule(scheduled(row("A", 4)))
    path = f"/api/booking/shows/{show.show_id}/seats"
    assert (await client.get(path))["seats"][0]["price_cents"] == 1000
    event = changed(show, 1, prices_cents={"standard": 1200})
    await client.harness.db.run(show_changes.change_shows, [event])
    client.context.hub.shows_changed([event])
    assert (await client.get(path))["seats"][0]["price_cents"] == 1200


async def test_the_api_describes_itself(client: BookingClient) -> None:
    api = await client.get("/api/booking/openapi.json")
    assert api["openapi"].startswith("3.1")
    assert "/api/booking/holds/{hold_id}" in api["paths"]


async def test_several_customers_holds_are_read_at_once_each_with_its_own_token(
    open_client: OpenBookingClient,
) -> None:
    mine, theirs = await open_client(), await open_client()
    show = await mine.harness.schedule(scheduled())
    my_hold, their_hold = await mine.hold(show, "A1", "A2"), await theirs.hold(show, "C1", "C2")
    lookups = [
        (my_hold["hold_id"], mine),
        (their_hold["hold_id"], mine),
        (their_hold["hold_id"], theirs),
        (str(clock.new_id()), mine),
    ]
    items = [{"hold_id": hold_id, "token": who.token} for hold_id, who in lookups]
    items.append({"hold_id": my_hold["hold_id"], "token": "no.such.token"})
    answer = await mine.http.post("/api/booking/holds/read", json={"items": items})
    found = answer.json()["items"]
    assert [item["status"] for item in found] == [200, 404, 200, 404, 401]
    assert found[0]["hold"]["total_cents"] == my_hold["total_cents"]
    assert found[1]["hold"] is None


async def test_prices_are_not_sent_while_payments_could_not_be_made_into_bookings(
    open_client: OpenBookingClient,
) -> None:
    mine = await open_client()
    mine.context.intake.trouble = "booking.payment.success: no success for 61 s"
    answer = await mine.http.post("/api/booking/holds/read", json={"items": []})
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/not-taking"
