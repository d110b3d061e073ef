"""The fake movies API."""

from typing import Any
from uuid import UUID

from flask import Flask, Response, jsonify, request

from tests.support.fake_apis.paging import page
from tests.support.fake_apis.state import FakeApis, Refused, id_of


def install(app: Flask, apis: FakeApis) -> None:  # noqa: C901 a table of routes
    @app.get("/api/movies/movies")
    def movies() -> Response:
        found = apis.movies
        for name in ("genre", "certificate", "type", "language"):
            if wanted := request.args.get(name):
                found = [movie for movie in found if movie[name] == wanted]
        if q := request.args.get("q", "").lower():
            found = [movie for movie in found if q in movie["title"].lower()]
        return page(found)

    @app.get("/api/movies/movies/<uuid:movie_id>")
    def movie(movie_id: UUID) -> Response:
        return _one(apis.movies, "movie_id", movie_id)

    @app.get("/api/movies/theaters")
    def theaters() -> Response:
        city = request.args.get("city")
        return page([one for one in apis.theaters if city in (None, one["city"])])

    @app.get("/api/movies/theaters/<uuid:theater_id>")
    def theater(theater_id: UUID) -> Response:
        auditoriums = [
            {
                "auditorium_id": id_of(f"auditorium {theater_id}"),
                "name": "Screen 1",
                "format": "2D",
                "layout_id": id_of("layout"),
                "seat_count": 60,
            }
        ]
        theaters = [theater | {"auditoriums": auditoriums} for theater in apis.theaters]
        return _one(theaters, "theater_id", theater_id)

    @app.get("/api/movies/filters")
    def filters() -> Response:
        genres = sorted({movie["genre"] for movie in apis.movies})
        certificates = ["G", "PG", "R", "Not Rated"]
        return jsonify(
            types=["film", "live"], certificates=certificates, genres=genres, languages=["en", "fr"]
        )

    @app.get("/api/movies/cities")
    def cities() -> Response:
        members = ("city", "country", "region")
        return page([{n: one[n] for n in members} | {"theater_count": 1} for one in apis.theaters])

    @app.get("/api/movies/shows")
    def shows() -> Response:
        found = list(apis.shows.values())
        for name in ("movie_id", "theater_id", "city"):
            if wanted := request.args.get(name):
                found = [show for show in found if show[name] == wanted]
        if day := request.args.get("date"):
            found = [show for show in found if show["business_date"] == day]
        return page(sorted(found, key=lambda show: str(show["starts_at"])))

    @app.get("/api/movies/days")
    def days() -> Response:
        wanted = {name: request.args.get(name) for name in ("movie_id", "theater_id", "city")}
        shows_ = [
            s for s in apis.shows.values() if all(v in {None, s[n]} for n, v in wanted.items())
        ]
        return jsonify(items=sorted({show["business_date"] for show in shows_}))

    @app.get("/api/movies/shows/<uuid:show_id>")
    def show(show_id: UUID) -> Response:
        return _one(list(apis.shows.values()), "show_id", show_id)


def _one(items: list[dict[str, Any]], name: str, wanted: UUID) -> Response:
    for item in items:
        if item[name] == str(wanted):
            return jsonify(item)
    raise Refused(404, "There is nothing here by that name.")
