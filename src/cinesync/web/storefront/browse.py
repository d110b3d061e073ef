"""Movies, theaters and shows by day. Every filter is in the URL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from flask import render_template, request, url_for

from cinesync.web.api_models import Show, shows_by_movie, shows_by_theater
from cinesync.web.page_cache import public
from cinesync.web.session import api

MOVIE_FILTERS = ("type", "language", "certificate", "genre", "q", "city", "date")
MOVIES_PER_PAGE = 24
SHOWS_MAX = 100
# Together with the API cache, "12 left" is at most 5 seconds old, a movie's details 33.
PAGE_SECONDS = 3


@dataclass(frozen=True)
class Programme:
    """The shows of one day, and all days with shows."""

    day: date | None
    days: list[date]
    shows: list[Show]
    next: str | None = None


@public(PAGE_SECONDS, browsers="no-cache")
def home() -> str:
    chosen = _chosen(MOVIE_FILTERS)
    paging = {"limit": str(MOVIES_PER_PAGE)} | _chosen(("after",))
    if "all" not in request.args:
        paging["showing"] = "true"
    return render_template(
        "storefront/movies.html",
        movies=api().movies(chosen | paging),
        chosen=chosen,
        movie_link={name: chosen[name] for name in ("city", "date") if name in chosen},
        cities=api().cities(),
        filters=api().filters(),
    )


@public(PAGE_SECONDS, browsers="no-cache")
def movie(movie_id: UUID) -> str:
    city = _chosen(("city",))
    programme = _programme({"movie_id": str(movie_id)} | city)
    return render_template(
        "storefront/movie.html",
        movie=api().movie(str(movie_id)),
        programme=programme,
        groups=shows_by_theater(programme.shows),
        chosen=city,
        cities=api().cities(),
    )


@public(PAGE_SECONDS, browsers="no-cache")
def theaters() -> str:
    city = _chosen(("city",))
    return render_template(
        "storefront/theaters.html",
        theaters=api().theaters(city),
        chosen=city,
        cities=api().cities(),
    )


@public(PAGE_SECONDS, browsers="no-cache")
def theater(theater_id: UUID) -> str:
    programme = _programme({"theater_id": str(theater_id)})
    return render_template(
        "storefront/theater.html",
        theater=api().theater(str(theater_id)),
        programme=programme,
        groups=shows_by_movie(programme.shows),
    )


@public(PAGE_SECONDS, browsers="no-cache")
def shows() -> str:
    city = _chosen(("city",))
    programme = _programme(city)
    return render_template(
        "storefront/shows.html",
        programme=programme,
        groups=shows_by_movie(programme.shows),
        chosen=city,
        cities=api().cities(),
    )


def here_with(**changed: str | None) -> str:
    """This page's URL with other filters, from the first page of the list."""
    values = request.args.to_dict() | (request.view_args or {}) | {"after": None} | changed
    return url_for(request.endpoint or "storefront.home", **values)


def _chosen(names: tuple[str, ...]) -> dict[str, str]:
    """The filters in the URL that are not empty."""
    filters = {name: request.args.get(name, "").strip() for name in names}
    return {name: value for name, value in filters.items() if value}


def _programme(filters: Mapping[str, str]) -> Programme:
    """All days with shows, and the shows of the chosen day."""
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
