"""Somebody buys a ticket: by pointer, by keyboard, without scripts, on a narrow screen."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from cinesync.chassis.clock import new_id

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.no_cover,  # what it visits runs in other processes
    pytest.mark.xdist_group("shop"),
]

OpenPage = Callable[..., Page]
FREE = '[data-seat][data-state="free"]:not([data-kind="wheelchair"], [data-kind="companion"])'


def an_email() -> str:
    return f"{new_id().hex}@example.org"


def choose_a_show(page: Page) -> None:
    """From the movies to a seat map."""
    page.locator(".movie-card a").first.click()
    expect(page.get_by_role("heading", name="Theaters and times")).to_be_visible()
    page.locator("a.show-time").last.click()
    expect(page.get_by_role("button", name="Find the best seats")).to_be_visible()


def two_neighbours(page: Page) -> list[Locator]:
    """The first two free seats of the emptiest row: taking them breaks no rule."""
    rows = page.locator("[data-row]").filter(has=page.locator(FREE))
    row = max(rows.all(), key=lambda one: one.locator(FREE).count())
    return row.locator(FREE).all()[:2]


def pay_with(page: Page, card: str) -> None:
    page.get_by_label(card).check()
    page.get_by_role("button", name=re.compile("^Pay ")).click()


def expect_a_ticket(page: Page) -> None:
    expect(page.get_by_text("Confirmed")).to_be_visible()
    expect(page.locator("[data-ticket] svg")).to_be_visible()


def continue_as_guest(page: Page) -> None:
    page.get_by_label("E-mail").last.fill(an_email())
    page.get_by_role("button", name="Continue as guest").click()


def register(page: Page) -> None:
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("Name", exact=True).fill("Ada Lovelace")
    page.get_by_label("E-mail").fill(an_email())
    page.get_by_label("Password").fill("a password of some length")
    page.get_by_role("button", name="Create account").click()


def fits(page: Page) -> bool:
    """Waits for the document, which is missing between two pages."""
    fitting = "document.documentElement && document.documentElement.scrollWidth <= innerWidth"
    return bool(page.wait_for_function(fitting))


def test_a_customer_buys_two_seats_and_cancels_them(open_page: OpenPage) -> None:
    page = open_page()
    choose_a_show(page)
    page.get_by_label("Tickets").fill("2")
    page.get_by_role("button", name="Find the best seats").click()
    register(page)
    expect(page.locator("[data-clock]")).to_have_text(re.compile(r"^\d+:\d\d$"))
    pay_with(page, "Declined card")
    expect(page.get_by_role("alert")).to_contain_text("Your bank declined the card.")
    pay_with(page, "Test card")
    expect_a_ticket(page)
    expect(page.locator("[data-countdown]")).to_have_count(0)
    page.get_by_role("link", name="My bookings").click()
    page.locator(".booking-list a").first.click()
    page.get_by_role("link", name="Cancel seats").click()
    page.get_by_role("button", name="Cancel and refund").click()
    expect(page.locator(".status")).to_contain_text("Cancelled")
    expect(page.locator(".ticket")).to_contain_text("card.")


def test_a_guest_chooses_seats_on_the_map_of_a_narrow_screen(open_page: OpenPage) -> None:
    page = open_page(width=360)
    choose_a_show(page)
    assert fits(page)
    for seat in two_neighbours(page):
        seat.click()
    expect(page.locator("[data-choice]")).to_contain_text(re.compile(r"\w+, \w+: "))
    page.get_by_role("button", name="Hold these seats").click()
    assert fits(page)
    continue_as_guest(page)
    assert fits(page)
    pay_with(page, "Slow card")
    expect(page.get_by_role("heading", name="Waiting for your bank")).to_be_visible()
    expect_a_ticket(page)
    assert fits(page)


def test_a_guest_exchanges_the_held_seats(open_page: OpenPage) -> None:
    page = open_page(width=360)
    choose_a_show(page)
    page.get_by_role("button", name="Find the best seats").click()
    continue_as_guest(page)
    before = page.locator(".seat-names").inner_text().split()
    page.get_by_role("link", name="Change seats").click()
    mine = page.locator("[data-seat].is-chosen")
    expect(mine).to_have_count(2)
    mine.first.click()
    mine.first.click()
    place = page.locator('[data-kind="wheelchair"][data-state="free"]').first
    place.click()
    need = page.get_by_label("One of us needs the wheelchair place")
    expect(need).to_be_visible()
    need.check()
    page.get_by_role("button", name="Exchange seats").click()
    expect(page.locator(".seat-names")).not_to_contain_text(before[0])
    assert fits(page)
    pay_with(page, "Test card")
    expect_a_ticket(page)


def test_a_bank_that_asks_first_leads_back_to_the_ticket(open_page: OpenPage) -> None:
    page = open_page()
    choose_a_show(page)
    page.get_by_role("button", name="Find the best seats").click()
    continue_as_guest(page)
    pay_with(page, "Card with confirmation")
    page.get_by_role("link", name="Continue to your bank").click()
    page.get_by_role("button", name="Yes, pay").click()
    expect_a_ticket(page)


def test_seats_are_chosen_by_keyboard_alone(open_page: OpenPage) -> None:
    page = open_page()
    choose_a_show(page)
    first, second = two_neighbours(page)
    page.locator("[data-drawing] [tabindex='0']").focus()
    expect(page.locator("[data-drawing] [role=gridcell]:focus")).to_have_count(1)
    first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    for seat in (first, second):
        expect(seat).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    expect(first).to_have_attribute("aria-selected", "false")


def test_a_ticket_is_bought_without_scripts(open_page: OpenPage) -> None:
    page = open_page(javascript=False)
    choose_a_show(page)
    page.get_by_label("Tickets").fill("1")
    page.get_by_role("button", name="Find the best seats").click()
    continue_as_guest(page)
    expect(page.locator("[data-clock]")).to_have_text(re.compile(r"^\d+ min$"))
    pay_with(page, "Test card")
    expect_a_ticket(page)


def test_a_seat_taken_by_another_visitor_is_shown_at_once(open_page: OpenPage) -> None:
    watching, buying = open_page(), open_page()
    choose_a_show(watching)
    buying.goto(watching.url)
    taken = two_neighbours(watching)[0].get_attribute("data-seat")
    seats = [seat.get_attribute("data-seat") for seat in two_neighbours(buying)]
    for seat in seats:
        buying.locator(f'[data-seat="{seat}"]').click()
    buying.get_by_role("button", name="Hold these seats").click()
    continue_as_guest(buying)
    expect(buying.locator("[data-clock]")).to_be_visible()
    expect(watching.locator(f'[data-seat="{taken}"]')).to_have_attribute("data-state", "held")
    watching.goto(f"{watching.url}")
    box = watching.locator(f'input[name="seat"][value="{taken}"]')
    expect(box).to_be_disabled()


def test_a_conflict_is_one_click_from_other_seats(open_page: OpenPage) -> None:
    first, second = open_page(), open_page()
    choose_a_show(first)
    second.goto(first.url)
    # The slower one's page no longer hears what happens.
    second.route("**/live?*", lambda route: route.abort())
    second.reload()
    seats = [seat.get_attribute("data-seat") for seat in two_neighbours(first)]
    for page in (first, second):
        for seat in seats:
            page.locator(f'[data-seat="{seat}"]').click()
        page.get_by_role("button", name="Hold these seats").click()
        continue_as_guest(page)
    expect(second.get_by_role("alert")).to_contain_text("just taken by someone else")
    second.locator(".offers button").first.click()
    expect(second.get_by_role("button", name=re.compile("^Pay "))).to_be_visible()
