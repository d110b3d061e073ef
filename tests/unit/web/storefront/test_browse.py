"""Looking around: shareable addresses, filters, days, times of the theater."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient

from tests.support.fake_apis.state import MOVIE, SHOW, THEATER, FakeApis, id_of


def test_the_home_page_lists_what_is_showing(visitor: FlaskClient, apis: FakeApis) -> None:
    page = visitor.get("/")
    assert page.status_code == 200
    assert "Casablanca" in page.text
    assert apis.sent("/api/movies/movies")[0]["args"] == {"limit": "24", "showing": "true"}


def test_filters_are_in_the_address_and_stay_chosen(visitor: FlaskClient, apis: FakeApis) -> None:
    page = visitor.get("/?genre=Comedy&q=duck&city=London&language=en")
    assert "Duck Soup" in page.text
    assert "Casablanca" not in page.text
    sent = apis.sent("/api/movies/movies")[0]["args"]
    assert sent["genre"] == "Comedy"
    assert sent["city"] == "London"
    assert '<option value="Comedy" selected>Comedy</option>' in page.text
    assert re.search(r'href="/movies/[-0-9a-f]+\?city=London"', page.text)
    assert '<option value="en" selected>English</option>' in page.text


def test_movies_without_shows_can_be_included(visitor: FlaskClient, apis: FakeApis) -> None:
    visitor.get("/?all=1")
    assert "showing" not in apis.sent("/api/movies/movies")[0]["args"]


def test_nothing_found_leads_back_to_everything(visitor: FlaskClient) -> None:
    page = visitor.get("/?q=nosuchfilm")
    assert "No movie matches" in page.text
    assert 'href="/?all=1"' in page.text


def test_more_movies_are_one_link_away(
    visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinesync.web.storefront.browse.MOVIES_PER_PAGE", 3)
    page = visitor.get("/?type=film")
    assert 'href="/?type=film&amp;after=3"' in page.text
    second = visitor.get("/?type=film&after=3")
    assert "Duck Soup" in second.text
    assert "First page" in second.text


def test_a_movie_page_has_theaters_and_times_by_day(visitor: FlaskClient) -> None:
    page = visitor.get(f"/movies/{MOVIE}")
    assert "1 h 42 min" in page.text
    assert "Phoenix" in page.text
    assert "18:30" in page.text
    assert f'href="/shows/{SHOW}"' in page.text
    assert page.text.count("?date=") == 3


def test_every_day_with_a_show_has_a_tab(visitor: FlaskClient, apis: FakeApis) -> None:
    day = {"starts_at": "2031-05-02T18:30:00+00:00", "business_date": "2031-05-02"}
    apis.shows["far"] = dict(apis.shows[SHOW], show_id="far", **day)
    page = visitor.get(f"/movies/{MOVIE}")
    assert "?date=2031-05-02" in page.text
    assert "on Friday" not in visitor.get(f"/movies/{MOVIE}?date=2031-05-02").text


def test_a_show_after_midnight_says_which_night(visitor: FlaskClient, apis: FakeApis) -> None:
    show = apis.shows[SHOW]
    starts = datetime.fromisoformat(show["starts_at"]).astimezone(ZoneInfo(show["time_zone"]))
    late = (starts + timedelta(days=1)).replace(hour=0, minute=30)
    evening = starts.date().isoformat()
    apis.shows[SHOW] = dict(show, starts_at=late.isoformat(), business_date=evening)
    page = visitor.get(f"/movies/{MOVIE}").text
    assert "after midnight" in page


def test_a_moved_show_shows_when_it_was_to_start(visitor: FlaskClient, apis: FakeApis) -> None:
    assert "moved, was" not in visitor.get(f"/movies/{MOVIE}").text
    show = apis.shows[SHOW]
    starts = datetime.fromisoformat(show["starts_at"]) - timedelta(minutes=45)
    apis.shows[SHOW] = dict(show, announced_at=starts.isoformat())
    assert "moved, was <del>17:45</del>" in visitor.get(f"/movies/{MOVIE}").text
    page = visitor.get(f"/shows/{SHOW}").text
    assert "The time changed." in page
    assert "17:45</del>" in page


def test_times_are_the_theaters_own(visitor: FlaskClient) -> None:
    page = visitor.get(f"/movies/{MOVIE}?city=Tokyo", headers={"Accept-Language": "en-US"})
    assert re.search(r"6:30\sPM", page.text)


def test_a_day_without_shows_says_so(visitor: FlaskClient) -> None:
    page = visitor.get(f"/movies/{MOVIE}?date=2031-01-01")
    assert "No shows on Wednesday" in page.text


def test_a_nonsense_day_is_the_first_day(visitor: FlaskClient) -> None:
    assert "18:30" in visitor.get(f"/movies/{MOVIE}?date=tomorrow").text


def test_a_movie_without_shows_says_so(visitor: FlaskClient, apis: FakeApis) -> None:
    apis.shows.clear()
    assert "No shows are scheduled" in visitor.get(f"/movies/{MOVIE}").text
    assert "Show all cities" in visitor.get(f"/movies/{MOVIE}?city=London").text


def test_sold_out_and_cancelled_shows_are_words_and_no_links(visitor: FlaskClient) -> None:
    page = visitor.get(f"/theaters/{THEATER}").text
    assert "Sold out" in page
    assert "Cancelled" in page
    assert f"/shows/{id_of('show 0 7')}" not in page


def test_theaters_are_listed_by_city(visitor: FlaskClient) -> None:
    page = visitor.get("/theaters?city=Tokyo").text
    assert "Shibuya Screen" in page
    assert "Phoenix" not in page
    assert "There is no theater in this city" in visitor.get("/theaters?city=Oslo").text


def test_showtimes_group_by_movie_and_theater(visitor: FlaskClient) -> None:
    page = visitor.get("/shows?city=London").text
    assert "Casablanca" in page
    assert "Shibuya" not in page
    assert visitor.get("/shows?date=2031-01-01").text.count("No shows on") == 1


def test_an_unknown_movie_is_a_page_with_a_way_on(visitor: FlaskClient) -> None:
    page = visitor.get(f"/movies/{id_of('nothing')}")
    assert page.status_code == 404
    assert "To the movies" in page.text


def test_pages_without_scripts_carry_no_script(visitor: FlaskClient) -> None:
    for path in ("/", f"/movies/{MOVIE}", "/theaters", "/shows"):
        assert "<script" not in visitor.get(path).text


@pytest.mark.parametrize("path", ["/", f"/movies/{MOVIE}", f"/shows/{SHOW}", "/sign-in"])
def test_nothing_is_inline(visitor: FlaskClient, path: str) -> None:
    page = visitor.get(path).text
    assert not re.search(r"<[^>]+\son\w+=", page)
    assert not re.search(r"<[^>]+\sstyle=", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert "//cdn" not in page


@pytest.mark.parametrize(
    ("left", "expected", "is_link"),
    [
        ({"seats_left": 12, "seats_held": 45}, "12 left", True),
        ({"seats_left": 0, "seats_held": 57}, "all seats held, 57 may become free", True),
        ({"seats_left": 0, "seats_held": 0}, "Sold out", False),
    ],
)
def test_held_seats_are_not_left_and_may_become_free(
    visitor: FlaskClient,
    apis: FakeApis,
    left: dict[str, int],
    expected: str,
    is_link: bool,  # noqa: FBT001 a parameter of the test
) -> None:
    show = apis.shows[SHOW]
    show |= left
    at = datetime.fromisoformat(show["starts_at"]).astimezone(ZoneInfo(show["time_zone"]))
    text = visitor.get(f"/movies/{MOVIE}?date={at.date().isoformat()}").text
    assert expected in text
    assert (f'href="/shows/{SHOW}"' in text) is is_link
