"""Pages to look around in: movies, theaters, shows by day. Every choice is in the address."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from flask import Blueprint, render_template, request, url_for

from cinesync.web.api_models import Show, shows_by_movie, shows_by_theater
from cinesync.web.page_cache import public
from cinesync.web.session import api

blueprint = Blueprint("browse", __name__)
blueprint.add_app_template_filter(shows_by_theater, "by_theater")

MOVIE_FILTERS = ("type", "language", "certificate", "genre", "q", "city", "date")
MOVIES_PER_PAGE = 24
SHOWS_MAX = 100
# With the APIs' own freshness, "12 left" is 5 seconds old at most, and a film's facts 33.
PAGE_SECONDS = 3


@dataclass(frozen=True)
class Programme:
    """The shows of one day, and the days one can turn to."""

    day: date | None
    days: list[date]
    shows: list[Show]
    next: str | None = None


@blueprint.get("/")
@public(PAGE_SECONDS, browsers="no-cache")
def home() -> str:
    chosen = _chosen(MOVIE_FILTERS)
    paging = {"limit": str(MOVIES_PER_PAGE)} | _chosen(("after",))
    if "all" not in request.args:
        paging["showing"] = "true"
    return render_template(
        "movies.html",
        movies=api().movies(chosen | paging),
        chosen=chosen,
        movie_link={name: chosen[name] for name in ("city", "date") if name in chosen},
        cities=api().cities(),
        filters=api().filters(),
    )


@blueprint.get("/movies/<uuid:movie_id>")
@public(PAGE_SECONDS, browsers="no-cache")
def movie(movie_id: UUID) -> str:
    city = _chosen(("city",))
    programme = _programme({"movie_id": str(movie_id)} | city)
    return render_template(
        "movie.html",
        movie=api().movie(str(movie_id)),
        programme=programme,
        groups=shows_by_theater(programme.shows),
        chosen=city,
        cities=api().cities(),
    )


@blueprint.get("/theaters")
@public(PAGE_SECONDS, browsers="no-cache")
def theaters() -> str:
    city = _chosen(("city",))
    return render_template(
        "theaters.html", theaters=api().theaters(city), chosen=city, cities=api().cities()
    )


@blueprint.get("/theaters/<uuid:theater_id>")
@public(PAGE_SECONDS, browsers="no-cache")
def theater(theater_id: UUID) -> str:
    programme = _programme({"theater_id": str(theater_id)})
    return render_template(
        "theater.html",
        theater=api().theater(str(theater_id)),
        programme=programme,
        groups=shows_by_movie(programme.shows),
    )


@blueprint.get("/shows")
@public(PAGE_SECONDS, browsers="no-cache")
def shows() -> str:
    city = _chosen(("city",))
    programme = _programme(city)
    return render_template(
        "shows.html",
        programme=programme,
        groups=shows_by_movie(programme.shows),
        chosen=city,
        cities=api().cities(),
    )


@blueprint.app_template_global()
def here_with(**changed: str | None) -> str:
    """The address of this page with some choices changed; another choice starts at page one."""
    kept = request.args.to_dict() | (request.view_args or {}) | {"after": None} | changed
    return url_for(request.endpoint or "browse.home", **kept)


def _chosen(names: tuple[str, ...]) -> dict[str, str]:
    """The filters of the address that say something."""
    given = {name: request.args.get(name, "").strip() for name in names}
    return {name: value for name, value in given.items() if value}


def _programme(filters: Mapping[str, str]) -> Programme:
    """The days that have shows, however far ahead, and the shows of the chosen one."""
    days = api().days(filters)
    if not days:
        return Programme(None, [], [])
    day = _day() or days[0]
    paging = _chosen(("after",))
    found = api().shows({**filters, **paging, "date": day.isoformat(), "limit": SHOWS_MAX})
    return Programme(day, days, found.items, found.next)


def _day() -> date | None:
    try:
        return date.fromisoformat(request.args.get("date", ""))
    except ValueError:
        return None
