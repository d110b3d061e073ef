"""The seat map, holds, conflicts, broken rules."""

from datetime import timedelta
from html import unescape

import pytest
from flask.testing import FlaskClient

from cinesync.chassis import clock
from tests.support.fake_apis.state import ROUND_SHOW, SHOW, FakeApis


def test_the_map_shows_every_seat_by_mark_and_by_word(visitor: FlaskClient) -> None:
    page = visitor.get(f"/shows/{SHOW}").text
    assert page.count("data-seat=") == 60
    assert "Row A, seat 1, standard, £12.50, sold" in page
    assert "Row B, seat 3, standard, £12.50, in someone" in page
    assert "Row E, seat 10, wheelchair place, standard, £12.50, free" in page
    assert 'href="#mark-booked"' in page


def test_the_list_is_a_form_that_needs_no_script(visitor: FlaskClient) -> None:
    page = visitor.get(f"/shows/{SHOW}?seat=C4").text
    assert page.count('type="checkbox" name="seat"') == 60
    assert 'value="C4" data-cents="1250" checked' in page
    assert 'value="A1" data-cents="1250" disabled' in page
    assert "<details" in page
    assert "open" in page


def test_what_a_seat_is_called_cannot_become_markup(visitor: FlaskClient, apis: FakeApis) -> None:
    hostile = "'\"><script>&"
    for name in ("seat", "zone", "kind", "row"):
        apis.layouts[SHOW][7][name] = f"{name}{hostile}"
    apis.taken[SHOW]["C4"] = hostile
    page = visitor.get(f"/shows/{SHOW}").text
    assert page.count("<script") == 1
    assert hostile not in page
    for name in ("seat", "zone", "kind", "row"):
        assert (
            f"{name}&#x27;&quot;&gt;&lt;script&gt;&amp;"
            in page.replace("&#39;", "&#x27;").replace("&#34;", "&quot;").lower()
        )


def test_yen_have_no_minor_units(visitor: FlaskClient) -> None:
    assert "¥1,500" in visitor.get(f"/shows/{ROUND_SHOW}").text


def test_a_customer_holds_seats_and_goes_on_to_pay(customer: FlaskClient, apis: FakeApis) -> None:
    answer = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4", "C5"]})
    [hold_id] = apis.bookings
    assert answer.status_code == 303
    assert answer.location == f"/holds/{hold_id}"
    assert apis.taken[SHOW]["C4"] == "held"


def test_the_best_seats_together_are_one_click(customer: FlaskClient, apis: FakeApis) -> None:
    customer.post(f"/shows/{SHOW}/hold", data={"best": "3", "zone": "premium"})
    sent = apis.sent("/api/booking/holds")[0]["json"]
    assert sent == {"show_id": SHOW, "best": 3, "zone": "premium"}


@pytest.mark.parametrize(("typed", "sent"), [("0", 1), ("99", 10), ("many", 2), ("", 2)])
def test_a_party_has_one_to_ten_seats(
    customer: FlaskClient, apis: FakeApis, typed: str, sent: int
) -> None:
    customer.post(f"/shows/{SHOW}/hold", data={"best": typed})
    assert apis.sent("/api/booking/holds")[0]["json"]["best"] == sent


def test_no_seat_chosen_is_a_sentence(visitor: FlaskClient) -> None:
    page = visitor.post(f"/shows/{SHOW}/hold")
    assert page.status_code == 422
    assert "Choose at least one seat." in page.text


def test_eleven_seats_are_a_sentence_and_stay_ticked(visitor: FlaskClient) -> None:
    seats = [f"C{n}" for n in range(1, 11)] + ["D1"]
    page = visitor.post(f"/shows/{SHOW}/hold", data={"seat": seats})
    assert page.status_code == 422
    assert "at most 10 seats" in page.text
    assert page.text.count(" checked") == 11


def test_a_conflict_names_the_seats_and_offers_others_in_one_click(
    customer: FlaskClient, apis: FakeApis
) -> None:
    page = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["A1", "C5"]})
    assert page.status_code == 409
    assert "<strong>A1</strong> was just taken" in page.text
    assert "A3, A4 for £25.00" in page.text
    assert f'href="/shows/{SHOW}?seat=C5"' in page.text
    answer = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["A3", "A4"]})
    assert answer.status_code == 303


def test_no_seats_together_offers_seats_apart(customer: FlaskClient, apis: FakeApis) -> None:
    title = "There are not that many free seats side by side."
    apis.fail("/api/booking/holds", 409, title, seats=[], alternatives=[["A3", "F1"]])
    page = customer.post(f"/shows/{SHOW}/hold", data={"best": "2"})
    assert title in page.text
    assert "A3, F1 for £29.00" in page.text


def test_a_split_party_reads_how_it_is_split(customer: FlaskClient, apis: FakeApis) -> None:
    title, detail = "There are not that many free seats side by side.", "2 in row C and 2 in row D."
    groups = [["C3", "C4"], ["D3", "D4"]]
    members = {"alternatives": [[*groups[0], *groups[1]]], "groups": [groups], "seats": []}
    apis.fail("/api/booking/holds", 409, title, detail=detail, **members)
    page = customer.post(f"/shows/{SHOW}/hold", data={"best": "4"})
    assert f"{title} {detail}" in page.text
    assert "C3, C4 and D3, D4 for" in page.text
    assert page.text.count('name="seat"') == 4


def test_the_seats_that_are_left_are_offered_when_there_are_too_few(
    customer: FlaskClient, apis: FakeApis
) -> None:
    title = "There are not that many free seats side by side."
    members = {"alternatives": [], "fewer": [["C3", "C4"], ["D7"]], "seats": []}
    apis.fail("/api/booking/holds", 409, title, detail="Only 3 can still sit here.", **members)
    page = customer.post(f"/shows/{SHOW}/hold", data={"best": "5"})
    assert "Only 3 can still sit here." in page.text
    assert "The 3 that are left: C3, C4 and D7 for" in page.text


@pytest.mark.parametrize("need", [True, False])
def test_the_map_asks_whether_a_wheelchair_place_is_needed(
    customer: FlaskClient,
    apis: FakeApis,
    need: bool,  # noqa: FBT001 a parameter of the test
) -> None:
    assert "One of us needs the wheelchair place" in customer.get(f"/shows/{SHOW}").text
    data = {"seat": ["E10"]} | ({"need": "yes"} if need else {})
    customer.post(f"/shows/{SHOW}/hold", data=data)
    assert apis.sent("/api/booking/holds")[0]["json"]["accessible_need"] is need


def test_a_missing_confirmation_of_need_is_requested_on_the_map(
    customer: FlaskClient, apis: FakeApis
) -> None:
    title = "A wheelchair place is kept for those who need it; please say that one of you does."
    apis.fail("/api/booking/holds", 422, title, rule="accessible_need", seats=["E10"])
    page = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["E10"]})
    assert title in page.text
    assert 'value="E10" data-cents="1250" checked' in page.text


def test_a_broken_rule_is_explained_on_the_map_and_the_choice_stays(
    customer: FlaskClient, apis: FakeApis
) -> None:
    title, detail = "A companion seat goes with its place.", "E9 goes with E10."
    apis.fail("/api/booking/holds", 422, title, detail=detail, rule="companion")
    page = customer.post(f"/shows/{SHOW}/hold", data={"seat": "E9"})
    assert page.status_code == 422
    assert f"{title} {detail}" in page.text
    assert 'value="E9" data-cents="1250" checked' in page.text


def test_a_gap_rule_with_alternatives_offers_them(customer: FlaskClient, apis: FakeApis) -> None:
    members = {"rule": "gap", "seats": ["C1"], "alternatives": [["C1", "C2"]]}
    apis.fail("/api/booking/holds", 422, "This would leave a single seat.", **members)
    page = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C2", "C3"]})
    assert page.status_code == 422
    assert "This would leave a single seat." in page.text
    assert "just taken" not in page.text
    assert "C1, C2 for £25.00" in page.text


def test_a_guest_who_holds_seats_already_is_led_to_pay_for_them(
    customer: FlaskClient, apis: FakeApis
) -> None:
    held = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4", "C5"]})
    apis.fail("/api/booking/holds", 422, "A guest holds seats once at a time.", rule="guest")
    page = customer.post(f"/shows/{SHOW}/hold", data={"seat": "D3"})
    assert f'<a href="{held.location}">Continue to checkout</a>' in page.text


def test_who_holds_too_many_seats_reads_how_long_to_wait_on_the_map(
    customer: FlaskClient, apis: FakeApis
) -> None:
    title, detail = "Many seats are held from your network.", "Try again in 5 minutes."
    apis.fail("/api/booking/holds", 429, title, detail=detail, retry_after_seconds=290)
    page = customer.post(f"/shows/{SHOW}/hold", data={"seat": "C3"})
    assert page.status_code == 429
    assert f"{title} {detail}" in page.text
    assert 'value="C3" data-cents="1250" checked' in page.text


def test_cancelled_and_started_shows_sell_nothing(
    visitor: FlaskClient, apis: FakeApis, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = visitor.get(f"/shows/{SHOW}").text
    assert "Find the best" in page
    begun = (clock.now() - timedelta(minutes=1)).isoformat()
    for changes, sentence in (
        ({"cancelled": True}, "This show was cancelled."),
        ({"cancelled": True, "cancel_reason": "Snow"}, "This show was cancelled: Snow."),
        ({"sales_close_at": begun}, "are no longer on sale"),
    ):
        apis.seat_map_changes = changes
        page = visitor.get(f"/shows/{SHOW}").text
        assert sentence in page
        assert "Find the best" not in page
        assert "Other times" in page


def test_seats_chosen_before_signing_in_are_held_right_after(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    answer = visitor.post(f"/shows/{SHOW}/hold", data={"seat": ["C4", "C5"]})
    assert answer.location.startswith("/sign-in")
    assert "<strong>C4, C5</strong>" in visitor.get(answer.location).text
    answer = visitor.post("/guest", data={"email": "ada@example.org"})
    [hold_id] = apis.bookings
    assert answer.location == f"/holds/{hold_id}"
    assert apis.bookings[hold_id]["seats"] == ["C4", "C5"]


def test_a_conflict_after_signing_in_is_shown_like_any_other(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    visitor.post(f"/shows/{SHOW}/hold", data={"seat": ["C4"]})
    apis.taken[SHOW]["C4"] = "booked"
    page = visitor.post("/guest", data={"email": "ada@example.org"})
    assert page.status_code == 409
    assert "<strong>C4</strong> was just taken" in page.text


def test_the_choice_survives_an_unreachable_api(customer: FlaskClient, apis: FakeApis) -> None:
    apis.fail("/api/booking/holds", 503)
    page = customer.post(f"/shows/{SHOW}/hold", data={"seat": "C4"})
    assert page.status_code == 503
    assert page.headers["Retry-After"] == "5"
    with customer.session_transaction() as stored:
        assert stored["wanted"]["seats"] == ["C4"]


def test_the_seen_offer_is_sent_with_the_hold_request(
    customer: FlaskClient, apis: FakeApis
) -> None:
    starts_at = "2026-12-24T19:00:00Z"
    apis.seat_map_changes = {"starts_at": starts_at}
    seen = _hidden(customer.get(f"/shows/{SHOW}").text, "seen")
    customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4", "C5"], "seen": seen})
    sent = apis.sent("/api/booking/holds")[0]["json"]["seen"]
    assert sent == {"prices_cents": {"standard": 1250, "premium": 1650}, "starts_at": starts_at}


def test_a_forged_offer_is_not_sent(customer: FlaskClient, apis: FakeApis) -> None:
    for seen in ("", "{", '{"total_cents": "1"}'):
        customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4"], "seen": seen})
    assert all("seen" not in one["json"] for one in apis.sent("/api/booking/holds"))


def test_a_changed_offer_is_shown_and_confirmed_in_one_click(
    customer: FlaskClient, apis: FakeApis
) -> None:
    members = {
        "type": "/problems/sale-changed",
        "changed": ["price", "time"],
        "seats": ["C4", "C5"],
        "before": {"total_cents": 2000, "starts_at": "2026-12-24T19:00:00Z"},
        "after": {"total_cents": 2500, "starts_at": "2026-12-24T20:30:00Z"},
        "currency": "GBP",
    }
    apis.fail("/api/booking/holds", 409, "The price or the time changed.", **members)
    page = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4", "C5"]})
    assert page.status_code == 409
    assert "<strong>C4, C5</strong> cost <strong>£25.00</strong> now; you saw £20.00" in page.text
    assert "20:30" in page.text
    assert "2026-12-24T" not in page.text.replace(_hidden_raw(page.text, "seen"), "")
    apis.faults.clear()
    confirmed = {"seat": ["C4", "C5"], "seen": _hidden(page.text, "seen")}
    assert customer.post(f"/shows/{SHOW}/hold", data=confirmed).status_code == 303
    assert apis.sent("/api/booking/holds")[-1]["json"]["seen"] == members["after"]


def test_back_on_the_map_the_seats_held_are_chosen_and_can_be_changed(
    customer: FlaskClient, apis: FakeApis
) -> None:
    held = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4", "C5"]})
    page = customer.get(f"/shows/{SHOW}").text
    assert page.count(" checked") == 2
    assert 'value="C4" data-cents="1250" checked' in page
    assert "You hold <strong>C4, C5</strong>" in page
    assert "Exchange seats" in page
    assert f'<a href="/shows/{SHOW}">Change seats</a>' in customer.get(held.location).text
    answer = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C5", "C6"]})
    assert answer.location == held.location
    assert len(apis.bookings) == 1
    assert apis.taken[SHOW].get("C4", "free") == "free"
    assert apis.taken[SHOW]["C6"] == "held"
    assert "C5, C6" in customer.get("/").text


def test_a_hold_that_ended_meanwhile_is_replaced_by_a_new_one(
    customer: FlaskClient, apis: FakeApis
) -> None:
    customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4"]})
    [old] = apis.bookings
    apis.bookings[old]["status"] = "expired"
    answer = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C6"]})
    assert answer.status_code == 303
    assert old not in answer.location
    assert len(apis.bookings) == 2


def test_seats_that_are_being_paid_for_are_not_changed(
    customer: FlaskClient, apis: FakeApis
) -> None:
    held = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4"]})
    paying = {"card": "tok_3ds", "key": str(clock.new_id())}
    customer.post(f"{held.location}/pay", data=paying)
    answer = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C6"]})
    assert answer.location.startswith("/payments/")
    assert "C6" not in apis.taken[SHOW]


def test_a_conflict_while_changing_keeps_the_old_seats(
    customer: FlaskClient, apis: FakeApis
) -> None:
    customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4"]})
    page = customer.post(f"/shows/{SHOW}/hold", data={"seat": ["A1"]})
    assert page.status_code == 409
    assert apis.taken[SHOW]["C4"] == "held"


def _hidden_raw(page: str, name: str) -> str:
    return page.split(f'name="{name}" value="')[1].split('"', maxsplit=1)[0]


def _hidden(page: str, name: str) -> str:
    return unescape(_hidden_raw(page, name))
