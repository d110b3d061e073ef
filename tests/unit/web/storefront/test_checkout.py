"""From the hold to the ticket: countdown, payment, every way it can end."""

import re
from datetime import timedelta

import httpx
import pytest
from flask.testing import FlaskClient

from cinesync.chassis import clock
from cinesync.web.api_client import ApiClient
from tests.support.fake_apis.booking import confirm
from tests.support.fake_apis.state import SHOW, FakeApis


@pytest.fixture
def hold_id(customer: FlaskClient, apis: FakeApis) -> str:
    customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4", "C5"]})
    [hold_id] = apis.bookings
    return hold_id


def key_on(page: str) -> str:
    found = re.search('name="key" value="([^"]+)"', page)
    assert found
    return found[1]


def pay(customer: FlaskClient, hold_id: str, card: str) -> str:
    """Presses the button; tells where it leads."""
    key = key_on(customer.get(f"/holds/{hold_id}?again=1").text)
    answer = customer.post(f"/holds/{hold_id}/pay", data={"card": card, "key": key})
    assert answer.status_code == 303
    return answer.location


def test_the_checkout_has_one_countdown_by_bookings_clock(
    customer: FlaskClient, apis: FakeApis
) -> None:
    apis.clock_ahead = timedelta(hours=3)
    answer = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4", "C5"]})
    page = customer.get(answer.location).text
    assert page.count("data-countdown") == 1
    left = re.search('data-seconds-left="([0-9]+)"', page)
    assert left
    assert 500 < int(left[1]) <= 600


def test_the_countdown_is_on_other_pages_too(customer: FlaskClient, hold_id: str) -> None:
    page = customer.get("/theaters").text
    assert page.count("data-countdown") == 1
    assert f'href="/holds/{hold_id}"' in page


def test_more_time_is_a_button_and_bounded(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    for _ in range(2):
        assert customer.post(f"/holds/{hold_id}/extend").location == f"/holds/{hold_id}"
    refused = customer.post(f"/holds/{hold_id}/extend")
    assert refused.status_code == 422
    assert "cannot be extended again" in refused.text
    assert "Pay £25.00" in refused.text


def test_seats_can_be_released(customer: FlaskClient, apis: FakeApis, hold_id: str) -> None:
    assert customer.post(f"/holds/{hold_id}/release").location == f"/shows/{SHOW}"
    assert apis.taken[SHOW]["C4"] == "free"
    assert "data-countdown" not in customer.get("/").text


def test_a_card_that_pays_ends_at_the_ticket(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    waiting = pay(customer, hold_id, "tok_approve")
    answer = customer.get(waiting)
    assert answer.location == f"/bookings/{hold_id}"
    ticket = customer.get(answer.location).text
    assert f'data-ticket="signed.{hold_id}.ticket"' in ticket
    assert "<svg" in ticket
    assert "data-countdown" not in ticket


def test_the_price_is_never_the_clients_to_say(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    pay(customer, hold_id, "tok_approve")
    [sent] = apis.sent("/api/payment/payments")
    assert sent["json"] == {
        "hold_id": hold_id,
        "token": "tok_approve",
        "return_path": f"/holds/{hold_id}/payment",
    }


def test_one_form_pays_once_however_often_it_is_sent(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    key = key_on(customer.get(f"/holds/{hold_id}").text)
    sent = [
        customer.post(f"/holds/{hold_id}/pay", data={"card": "tok_late", "key": key}).location
        for _ in range(3)
    ]
    assert len(set(sent)) == 1
    assert len(apis.payments) == 1


def test_each_attempt_has_a_key_of_its_own(customer: FlaskClient, hold_id: str) -> None:
    first, second = (key_on(customer.get(f"/holds/{hold_id}").text) for _ in range(2))
    assert first != second


def test_a_declined_card_keeps_the_seats_and_says_why(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    back = pay(customer, hold_id, "tok_insufficient_funds")
    page = customer.get(back).text
    assert "There is not enough money on the card. Nothing was charged." in page
    assert "Pay £25.00" in page
    payment_id = next(iter(apis.payments))
    assert "Try another card" in customer.get(f"/payments/{payment_id}").text


def test_a_payment_without_an_answer_is_retried_with_the_same_key(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    key = key_on(customer.get(f"/holds/{hold_id}").text)
    apis.fail("/api/payment/payments", 503)
    page = customer.post(f"/holds/{hold_id}/pay", data={"card": "tok_late", "key": key})
    assert page.status_code == 503
    assert "you cannot be charged twice" in page.text
    assert key_on(page.text) == key
    assert 'value="tok_late" required checked' in page.text


def test_a_refused_payment_is_explained_at_checkout(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    apis.fail("/api/payment/payments", 409, "These seats are no longer held for you.")
    key = key_on(customer.get(f"/holds/{hold_id}").text)
    page = customer.post(f"/holds/{hold_id}/pay", data={"card": "tok_late", "key": key})
    assert page.status_code == 409
    assert "no longer held for you" in page.text
    assert key_on(page.text) != key


@pytest.mark.parametrize("form", [{}, {"card": "tok_approve", "key": "x"}, {"card": "tok_free"}])
def test_a_forged_payment_form_is_refused(
    customer: FlaskClient, apis: FakeApis, hold_id: str, form: dict[str, str]
) -> None:
    page = customer.post(f"/holds/{hold_id}/pay", data=form)
    assert page.status_code == 422
    assert "Choose a card" in page.text
    assert not apis.payments


def test_a_pending_payment_waits_without_scripts_too(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    waiting = pay(customer, hold_id, "tok_late")
    page = customer.get(waiting).text
    assert "Waiting for your bank" in page
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page
    assert customer.get(f"{waiting}/state").json == {"state": "wait"}
    [payment] = apis.payments.values()
    payment["status"] = "success"
    assert "Your ticket is on its way" in customer.get(waiting).text
    assert customer.get(f"{waiting}/state").json == {"state": "paid"}
    confirm(apis, hold_id)
    assert customer.get(waiting).location == f"/bookings/{hold_id}"


def test_a_pending_payment_is_not_paid_again(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    waiting = pay(customer, hold_id, "tok_late")
    assert customer.get(f"/holds/{hold_id}").location == waiting
    assert "Pay £25.00" in customer.get(f"/holds/{hold_id}?again=1").text


def test_a_bank_that_asks_first_is_one_link_away_and_leads_back(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    waiting = pay(customer, hold_id, "tok_3ds")
    page = customer.get(waiting).text
    assert f'href="http://bank.example/confirm/{hold_id}"' in page
    assert 'http-equiv="refresh"' not in page
    back = apis.sent("/api/payment/payments")[0]["json"]["return_path"]
    assert customer.get(back).location == waiting


def test_returning_from_the_bank_in_another_browser_leads_to_checkout(
    customer: FlaskClient, hold_id: str
) -> None:
    assert customer.get(f"/holds/{hold_id}/payment").location == f"/holds/{hold_id}"


def test_a_late_payment_is_refunded_and_the_page_says_so(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    waiting = pay(customer, hold_id, "tok_late")
    [payment] = apis.payments.values()
    payment["status"] = "success"
    refused = {"payment_id": payment["payment_id"], "reason": "seats_gone"}
    apis.bookings[hold_id] |= {"status": "expired", "refused_payments": [refused]}
    page = customer.get(waiting).text
    assert "We refund your payment" in page
    assert "after the seats had been released" in page
    refused["reason"] = "released_show"
    apis.bookings[hold_id]["cancel_note"] = "The projector broke"
    page = customer.get(waiting).text
    assert "the cinema had cancelled this show: The projector broke." in page


def test_a_refunded_second_payment_leads_to_the_ticket_of_the_first(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    waiting = pay(customer, hold_id, "tok_late")
    [payment] = apis.payments.values()
    payment["status"] = "success"
    refused = {"payment_id": payment["payment_id"], "reason": "already_paid"}
    confirm(apis, hold_id)
    apis.bookings[hold_id]["refused_payments"] = [refused]
    answer = customer.get(waiting)
    assert answer.location == f"/bookings/{hold_id}"
    assert "You paid twice for these seats" in customer.get(answer.location).text


def test_who_pays_in_two_tabs_is_led_to_the_payment_that_came_first(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    waiting = pay(customer, hold_id, "tok_late")
    [first] = apis.payments
    problem = {"type": "/problems/payment-underway", "payment_id": first}
    apis.fail("/api/payment/payments", 409, "Another payment is under way.", **problem)
    data = {"card": "tok_approve", "key": str(clock.new_id())}
    answer = customer.post(f"/holds/{hold_id}/pay", data=data)
    assert (answer.status_code, answer.location) == (303, waiting)


def test_who_pays_for_booked_seats_is_led_to_the_booking(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    confirm(apis, hold_id)
    problem = {"type": "/problems/already-paid", "booking_id": hold_id}
    apis.fail("/api/payment/payments", 409, "These seats are paid for already.", **problem)
    data = {"card": "tok_approve", "key": str(clock.new_id())}
    answer = customer.post(f"/holds/{hold_id}/pay", data=data)
    assert answer.location == f"/bookings/{hold_id}"
    page = customer.get(answer.location).text
    assert "These seats are already paid. This is your booking." in page
    assert "seats were taken" not in page


def test_seats_that_cost_nothing_are_confirmed_without_a_card(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    apis.bookings[hold_id]["total_cents"] = 0
    page = customer.get(f"/holds/{hold_id}").text
    assert ">Confirm</button>" in page
    assert 'name="card"' not in page
    answer = customer.post(f"/holds/{hold_id}/pay", data={"key": key_on(page)})
    [sent] = apis.sent("/api/payment/payments")
    assert sent["json"]["token"] == ""
    assert customer.get(answer.location).location == f"/bookings/{hold_id}"


def test_a_priced_seat_is_not_confirmed_without_a_card(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    key = key_on(customer.get(f"/holds/{hold_id}").text)
    refused = customer.post(f"/holds/{hold_id}/pay", data={"key": key})
    assert refused.status_code == 422
    assert "Choose a card to pay with." in refused.text
    assert apis.bookings[hold_id]["status"] == "held"


def test_a_shop_with_a_real_provider_shows_no_test_cards(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    apis.provider = "stripe"
    page = customer.get(f"/holds/{hold_id}").text
    assert "tok_" not in page
    assert "test card" not in page
    assert "Nothing was charged" in page


def test_a_payment_whose_booking_is_not_known_yet_waits(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    waiting = pay(customer, hold_id, "tok_late")
    apis.fail(f"/api/booking/bookings/{hold_id}", 404)
    assert "Waiting for your bank" in customer.get(waiting).text
    apis.fail(f"/api/booking/bookings/{hold_id}", 503)
    assert customer.get(waiting).status_code == 503


def test_a_hold_that_ran_out_leads_back_to_its_seats(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    apis.bookings[hold_id]["status"] = "expired"
    page = customer.get(f"/holds/{hold_id}")
    assert page.status_code == 410
    assert f'href="/shows/{SHOW}?seat=C4&amp;seat=C5"' in page.text
    assert "data-countdown" not in page.text


def test_the_hold_of_a_cancelled_show_says_that_it_was_cancelled(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    apis.bookings[hold_id]["status"] = "released"
    apis.seat_map_changes = {"cancelled": True, "cancel_reason": "The projector broke"}
    page = customer.get(f"/holds/{hold_id}")
    assert page.status_code == 410
    assert "This show was cancelled" in page.text
    assert "Reason: The projector broke." in page.text
    assert "free for everyone" not in page.text
    assert "Choose again" not in page.text


def test_an_unknown_hold_leads_to_the_shows(customer: FlaskClient, hold_id: str) -> None:
    page = customer.get("/holds/00000000-0000-4000-8000-000000000000")
    assert page.status_code == 410
    assert "Find a show" in page.text
    assert "Choose again</a>\n" not in page.text


def test_a_paid_hold_is_a_ticket(customer: FlaskClient, apis: FakeApis, hold_id: str) -> None:
    confirm(apis, hold_id)
    assert customer.get(f"/holds/{hold_id}").location == f"/bookings/{hold_id}"


def test_a_countdown_that_ended_is_gone_from_all_pages(
    customer: FlaskClient, hold_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clock.now
    monkeypatch.setattr("cinesync.web.session.clock.now", lambda: real() + timedelta(minutes=11))
    assert "data-countdown" not in customer.get("/sign-in").text


@pytest.mark.parametrize("path", ["extend", "release"])
def test_an_api_that_is_down_is_a_page(
    customer: FlaskClient, apis: FakeApis, hold_id: str, path: str
) -> None:
    apis.fail(f"/api/booking/holds/{hold_id}", 503)
    assert customer.post(f"/holds/{hold_id}/{path}").status_code == 503


def test_a_held_lookup_that_fails_is_a_page(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    apis.fail(f"/api/booking/holds/{hold_id}", 500)
    page = customer.get(f"/holds/{hold_id}")
    assert page.status_code == 500
    assert "Try again" in page.text


def test_a_sign_in_that_ended_while_paying_is_asked_for_again(
    customer: FlaskClient, apis: FakeApis, hold_id: str
) -> None:
    key = key_on(customer.get(f"/holds/{hold_id}").text)
    apis.fail("/api/payment/payments", 401)
    form = {"card": "tok_late", "key": key}
    came_from = {"Referer": f"http://localhost/holds/{hold_id}"}
    answer = customer.post(f"/holds/{hold_id}/pay", data=form, headers=came_from)
    assert answer.location == f"/sign-in?next=/holds/{hold_id}"


def test_an_unreachable_api_differs_from_a_refusal(apis: FakeApis) -> None:
    def dead(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("no answer", request=request)

    client = httpx.Client(base_url="http://api.test", transport=httpx.MockTransport(dead))
    with client, pytest.raises(Exception, match="cannot reach"):
        ApiClient(client, dict).cities()
