"""The HTTP contract: lists, filters, pages, caching, and the routes for managers."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4  # noqa: TID251 an unknown id
from zoneinfo import ZoneInfo

import httpx
import pytest

from cinesync.chassis.database import Database
from cinesync.chassis.http.audit_log_api import audit_log_route
from cinesync.chassis.http.cursor import encode_cursor
from cinesync.movies.routes import router
from tests.conftest import MakeClient, Sign

API = "/api/movies"


async def ok(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(f"{API}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def items(client: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await ok(client, path, **query))["items"]
    return found


async def all_pages(client: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page = await ok(client, path, **query)
    while True:
        found += page["items"]
        if page["next"] is None:
            return found
        page = await ok(client, path, **query, after=page["next"])


async def test_films_come_best_known_first_page_by_page(client: httpx.AsyncClient) -> None:
    films = await all_pages(client, "/movies", limit=20)
    assert len(films) == len({film["movie_id"] for film in films}) >= 145
    fame = [film["popularity"] for film in films]
    assert fame == sorted(fame, reverse=True)
    assert films[0]["title"] == "The Dark Knight"
    assert films[0]["imdb_rating"] == pytest.approx(8.9, abs=0.2)


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ({"type": "live"}, "type", "live"),
        ({"type": "Concert"}, "type", "concert"),
        ({"certificate": "pg"}, "certificate", "PG"),
        ({"genre": "Horror"}, "genre", "Horror"),
        ({"q": "amélie"}, "title", "Le Fabuleux destin d'Amélie Poulain"),
        ({"q": "AMELIE poulain"}, "title", "Le Fabuleux destin d'Amélie Poulain"),
        ({"q": "jeunet"}, "title", "Le Fabuleux destin d'Amélie Poulain"),
    ],
    ids=["type", "type case", "certificate", "genre", "accent", "words", "director"],
)
async def test_films_are_filtered(
    client: httpx.AsyncClient, query: Mapping[str, str], field: str, value: str
) -> None:
    films = await all_pages(client, "/movies", **query)
    assert films
    assert {film[field] for film in films} == {value}


async def test_films_are_filtered_by_running_time(client: httpx.AsyncClient) -> None:
    longest = 100
    films = await all_pages(client, "/movies")
    known = [film for film in films if film["running_minutes"] is not None]
    short = [film for film in known if film["running_minutes"] <= longest]
    assert 0 < len(short) < len(known)
    assert await all_pages(client, "/movies", running_minutes_max=longest) == short


async def test_search_escapes_wildcards(client: httpx.AsyncClient) -> None:
    everything = len(await all_pages(client, "/movies"))
    for q in ("%", "_", "\\", "' OR 1=1 --", "$"):
        assert len(await all_pages(client, "/movies", q=q)) in {0, everything}
    assert await items(client, "/movies", q="no such film at all") == []
    assert [f["title"] for f in await items(client, "/movies", q="spiderman 2")] == ["Spider-Man 2"]


async def test_a_language_finds_films_made_in_it_or_shown_in_it(client: httpx.AsyncClient) -> None:
    french = await all_pages(client, "/movies", language="FR")
    shown = {
        show["movie_id"] for show in await all_pages(client, "/shows") if show["language"] == "fr"
    }
    made = {film["movie_id"] for film in french if film["language"] == "fr"}
    assert made
    assert {film["movie_id"] for film in french} == made | shown


async def test_films_of_a_city_and_day_are_those_with_shows_there(
    client: httpx.AsyncClient, tomorrow: date
) -> None:
    films = await all_pages(client, "/movies", city="paris", date=tomorrow.isoformat())
    shows = await all_pages(client, "/shows", city="Paris", date=tomorrow.isoformat())
    assert {film["movie_id"] for film in films} == {show["movie_id"] for show in shows}
    assert 0 < len(films) < len(await all_pages(client, "/movies", showing="true")) < 147
    assert await items(client, "/movies", city="Atlantis") == []
    assert await items(client, "/movies", date="2020-01-01") == []


async def test_a_film_is_read_by_id(client: httpx.AsyncClient) -> None:
    film = (await items(client, "/movies", q="wizard oz"))[0]
    assert await ok(client, f"/movies/{film['movie_id']}") == film
    assert film["release_date"] == "1939-08-25"


async def test_theaters_are_found_by_city_and_have_auditoriums(client: httpx.AsyncClient) -> None:
    theaters = await all_pages(client, "/theaters", limit=2)
    assert [t["city"] for t in theaters] == sorted(t["city"] for t in theaters)
    assert len(theaters) == 9
    london = await items(client, "/theaters", city="LONDON")
    assert [theater["name"] for theater in london] == ["Regent Arcadia", "Tannery Lane Pictures"]
    theater = await ok(client, f"/theaters/{london[0]['theater_id']}")
    auditoriums = theater.pop("auditoriums")
    assert theater == london[0]
    assert len(auditoriums) == theater["auditorium_count"] == 4
    assert sum(auditorium["seat_count"] for auditorium in auditoriums) == theater["seat_count"]


async def test_cities_and_filters_are_listed(client: httpx.AsyncClient) -> None:
    cities = await items(client, "/cities")
    assert [(c["city"], c["theater_count"]) for c in cities] == [
        ("Beirut", 1),
        ("Boston", 1),
        ("Dubai", 2),
        ("London", 2),
        ("New York", 2),
        ("Paris", 1),
    ]
    filters = await ok(client, "/filters")
    assert filters["types"] == ["film", "live", "concert"]
    assert {"en", "fr", "ar"} <= set(filters["languages"])
    assert "Horror" in filters["genres"]


async def test_shows_have_the_time_and_date_of_their_theater(
    client: httpx.AsyncClient, tomorrow: date
) -> None:
    for city, zone in (("New York", "America/New_York"), ("Dubai", "Asia/Dubai")):
        shows = await all_pages(client, "/shows", city=city, date=tomorrow.isoformat(), limit=7)
        assert shows
        for show in shows:
            starts_at = datetime.fromisoformat(show["starts_at"])
            local = starts_at.astimezone(ZoneInfo(zone))
            assert starts_at.utcoffset() == local.utcoffset()
            assert show["local_date"] == local.date().isoformat() == tomorrow.isoformat()
            assert show["local_time"] == f"{local:%H:%M}"
            assert show["price_from_cents"] == min(show["prices_cents"].values())
            assert show["seats_left"] == show["seat_count"]
        starts = [datetime.fromisoformat(show["starts_at"]) for show in shows]
        assert starts == sorted(starts)


async def test_shows_are_filtered_by_film_and_theater(client: httpx.AsyncClient) -> None:
    one = (await items(client, "/shows", limit=1))[0]
    same = await all_pages(
        client, "/shows", movie_id=one["movie_id"], theater_id=one["theater_id"], limit=1
    )
    assert one["show_id"] in {show["show_id"] for show in same}
    assert {show["movie_id"] for show in same} == {one["movie_id"]}
    assert {show["theater_id"] for show in same} == {one["theater_id"]}
    assert await ok(client, f"/shows/{one['show_id']}") == one


@pytest.mark.parametrize("path", ["/movies", "/theaters", "/shows"])
async def test_an_unknown_id_is_a_problem_with_a_type(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"{API}{path}/{uuid4()}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].startswith("/problems/no-such-")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        (
            "/movies?typ=film",
            "no query parameter typ here; there is: after, certificate, city, date",
        ),
        ("/movies?type=opera", "`type` is one of film, live, concert"),
        ("/movies?certificate=XXL", "`certificate` is one of G, PG"),
        ("/movies?language=english", "`language` is an ISO 639 code"),
        ("/movies?genre=%00", "`genre` is a text"),
        ("/movies?date=tomorrow", "`date` is a day such as 2026-11-21"),
        ("/movies?date=2026-02-30", "`date` is a day such as 2026-11-21"),
        ("/movies?running_minutes_max=0", "running_minutes_max"),
        ("/movies?limit=0", "limit"),
        ("/movies?limit=101", "limit"),
        ("/movies?after=nonsense", "`after` takes the `next`"),
        (f"/movies?after={encode_cursor('1', 'x')}", "`after` takes the `next`"),
        (f"/movies?after={encode_cursor('x', str(UUID(int=1)))}", "`after` takes the `next`"),
        (f"/movies?after={encode_cursor('9' * 30, str(UUID(int=1)))}", "`after` takes the `next`"),
        (f"/theaters?after={encode_cursor('a', 'b', 'c')}", "`after` takes the `next`"),
        (f"/shows?after={encode_cursor('a', 'b')}", "`after` takes the `next`"),
        (f"/shows?after={encode_cursor('2026-01-01', str(UUID(int=1)))}", "`after` takes"),
        (f"/shows?after={encode_cursor('2026-01-01T00:00Z', 'b')}", "`after` takes"),
        ("/shows?movie_id=1", "movie_id"),
        ("/shows?date=21.11.2026", "`date` is a day"),
        ("/cities?country=FR", "no query parameter country here; there is: none"),
        (f"/shows/{UUID(int=1)}?show_id=1", "no query parameter show_id"),
    ],
    ids=[str(number) for number in range(22)],
)
async def test_a_wrong_query_is_refused_naming_what_is_right(
    client: httpx.AsyncClient, path: str, hint: str
) -> None:
    answer = await client.get(f"{API}{path}")
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert hint in answer.json()["detail"]


async def test_empty_filters_are_ignored(client: httpx.AsyncClient) -> None:
    plain = await ok(client, "/movies")
    assert plain == await ok(
        client, "/movies", type="", language="", certificate="", genre="", q="", city="", date=""
    )


@pytest.mark.parametrize("path", ["/movies", "/theaters", "/cities", "/shows", "/filters"])
async def test_an_unchanged_response_is_304(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(f"{API}{path}")
    again = await client.get(f"{API}{path}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await client.get(f"{API}{path}", headers={"If-None-Match": '"other"'})
    assert other.content == first.content


async def _auditorium_id(client: httpx.AsyncClient) -> str:
    theater = (await items(client, "/theaters", city="Boston"))[0]
    auditoriums = (await ok(client, f"/theaters/{theater['theater_id']}"))["auditoriums"]
    return str(auditoriums[0]["auditorium_id"])


async def test_a_manager_plans_moves_and_cancels_a_show(
    own_client: httpx.AsyncClient, sign: Sign, tomorrow: date
) -> None:
    client = own_client
    manager = {"Authorization": f"Bearer {sign(uuid4(), 'manager')}"}
    day = tomorrow + timedelta(days=20)
    body = {
        "movie_id": (await items(client, "/movies", q="wizard oz"))[0]["movie_id"],
        "auditorium_id": await _auditorium_id(client),
        "starts_at": f"{day}T19:30:00-05:00",
    }
    made = await client.post(f"{API}/shows", json=body, headers=manager)
    assert made.status_code == 201, made.text
    show = made.json()
    assert (show["revision"], show["status"], show["city"]) == (1, "scheduled", "Boston")
    assert await ok(client, f"/shows/{show['show_id']}") == show
    overlap = await client.post(f"{API}/shows", json=body, headers=manager)
    assert overlap.status_code == 409
    assert "is taken from" in overlap.json()["detail"]

    path = f"{API}/shows/{show['show_id']}"
    change = {"starts_at": f"{day}T21:00:00-05:00", "prices_cents": {"front": 123}}
    changed = (await client.patch(path, json=change, headers=manager)).json()
    assert (changed["revision"], changed["price_from_cents"]) == (2, 123)
    cancelled = await client.post(f"{path}/cancel", json={"reason": "Snow"}, headers=manager)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    listed = await all_pages(client, "/shows", date=cancelled.json()["local_date"])
    assert show["show_id"] not in {item["show_id"] for item in listed}
    again = await client.post(f"{path}/cancel", json={"reason": "Snow"}, headers=manager)
    assert again.status_code == 409


async def _plan(
    client: httpx.AsyncClient, manager: Mapping[str, str], starts_at: str
) -> dict[str, Any]:
    body = {
        "movie_id": (await items(client, "/movies", q="wizard oz"))[0]["movie_id"],
        "auditorium_id": await _auditorium_id(client),
        "starts_at": starts_at,
    }
    made = await client.post(f"{API}/shows", json=body, headers=manager)
    assert made.status_code == 201, made.text
    show: dict[str, Any] = made.json()
    return show


async def test_a_show_after_midnight_belongs_to_the_evening_before(
    own_client: httpx.AsyncClient, sign: Sign, tomorrow: date
) -> None:
    client = own_client
    manager = {"Authorization": f"Bearer {sign(uuid4(), 'manager')}"}
    evening = tomorrow + timedelta(days=30)
    night = evening + timedelta(days=1)
    show = await _plan(client, manager, f"{night}T00:30:00-05:00")
    assert (show["local_date"], show["business_date"]) == (str(night), str(evening))
    there = {"theater_id": show["theater_id"]}
    assert [
        s["show_id"] for s in await all_pages(client, "/shows", date=str(evening), **there)
    ] == [show["show_id"]]
    assert await all_pages(client, "/shows", date=str(night), **there) == []

    path = f"{API}/theaters/{show['theater_id']}"
    changed = await client.patch(path, json={"day_starts": "00:00"}, headers=manager)
    assert (changed.status_code, changed.json()["day_starts"]) == (200, "00:00")
    assert (await ok(client, f"/shows/{show['show_id']}"))["business_date"] == str(night)
    wrong = await client.patch(path, json={"day_starts": "25:00"}, headers=manager)
    assert (wrong.status_code, "day_starts" in wrong.text) == (422, True)


async def test_shows_announced_far_ahead_are_listed_by_day(
    own_client: httpx.AsyncClient, sign: Sign, tomorrow: date
) -> None:
    client = own_client
    manager = {"Authorization": f"Bearer {sign(uuid4(), 'manager')}"}
    far = tomorrow + timedelta(days=200)
    show = await _plan(client, manager, f"{far}T20:00:00-05:00")
    for query in ({}, {"theater_id": show["theater_id"]}, {"city": "boston"}):
        days = (await ok(client, "/days", **query))["items"]
        assert days == sorted(set(days))
        assert days[-1] == str(far)
    films = (await ok(client, "/days", movie_id=show["movie_id"]))["items"]
    assert films[-1] == str(far)
    assert (await ok(client, "/days", city="nowhere"))["items"] == []


async def test_changes_of_a_show_are_in_the_audit_log(
    chain: Database, make_client: MakeClient, sign: Sign, tomorrow: date
) -> None:
    client = make_client("movies", [router(chain), audit_log_route("movies", chain)])
    manager_id = uuid4()
    manager = {"Authorization": f"Bearer {sign(manager_id, 'manager')}"}
    day = tomorrow + timedelta(days=20)
    body = {
        "movie_id": (await items(client, "/movies", q="wizard oz"))[0]["movie_id"],
        "auditorium_id": await _auditorium_id(client),
        "starts_at": f"{day}T19:30:00Z",
    }
    made = (await client.post(f"{API}/shows", json=body, headers=manager)).json()
    path = f"{API}/shows/{made['show_id']}"
    change = {"starts_at": f"{day}T21:00:00Z", "prices_cents": {"front": 123}}
    assert (await client.patch(path, json=change, headers=manager)).status_code == 200
    assert (await client.patch(path, json=change, headers=manager)).status_code == 200  # as it is
    await client.post(f"{path}/cancel", json={"reason": "Snow"}, headers=manager)
    query = {"object": f"show:{made['show_id']}"}
    answer = await client.get(f"{API}/audit-log", params=query, headers=manager)
    planned, moved, priced, cancelled = answer.json()["items"][::-1]
    actors = {(one["actor_id"], one["actor_role"]) for one in (planned, moved, priced, cancelled)}
    assert actors == {(str(manager_id), "manager")}
    assert (planned["action"], planned["before"]) == ("show.scheduled", None)
    assert (moved["action"], moved["before"]["starts_at"], moved["after"]["starts_at"]) == (
        "show.moved",
        f"{day}T19:30:00Z",
        f"{day}T21:00:00Z",
    )
    assert priced["action"] == "show.prices_changed"
    assert priced["before"]["prices_cents"]["front"] != 123
    assert priced["after"]["prices_cents"]["front"] == 123
    assert (cancelled["action"], cancelled["reason"]) == ("show.cancelled", "Snow")
    assert cancelled["before"]["status"] == "scheduled"
    assert cancelled["after"] == {"status": "cancelled"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"movie_id": "x"},
        {"starts_at": "2026-12-01T19:30:00"},
        {"prices_cents": {"front": -1}},
        {"prices_cents": {}},
        {"language": "English"},
        {"running_minutes": 0},
    ],
    ids=["empty", "id", "no zone", "negative", "no price", "language", "minutes"],
)
async def test_an_invalid_show_is_refused(
    client: httpx.AsyncClient, sign: Sign, body: dict[str, Any]
) -> None:
    right = {
        "movie_id": str(UUID(int=1)),
        "auditorium_id": str(UUID(int=1)),
        "starts_at": "2026-12-01T19:30:00Z",
    }
    manager = {"Authorization": f"Bearer {sign(uuid4(), 'manager')}"}
    sent = right | body if body else {}
    answer = await client.post(f"{API}/shows", json=sent, headers=manager)
    assert answer.status_code == 422, answer.text


async def test_only_managers_change_shows(client: httpx.AsyncClient, sign: Sign) -> None:
    path = f"{API}/shows/{UUID(int=1)}/cancel"
    assert (await client.post(path, json={"reason": "x"})).status_code == 401
    customer = {"Authorization": f"Bearer {sign(uuid4(), 'customer')}"}
    assert (await client.post(path, json={"reason": "x"}, headers=customer)).status_code == 403
    manager = {"Authorization": f"Bearer {sign(uuid4(), 'manager')}"}
    assert (await client.post(path, json={"reason": "x"}, headers=manager)).status_code == 404


async def test_the_openapi_document_describes_the_api(client: httpx.AsyncClient) -> None:
    spec = (await client.get(f"{API}/openapi.json")).json()
    assert spec["openapi"].startswith("3.1")
    page = spec["paths"][f"{API}/movies"]["get"]["responses"]["200"]["content"]["application/json"]
    assert page["schema"]
