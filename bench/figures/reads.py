"""Reads: seat maps cold, cached and unchanged; pages, of everybody and of somebody."""

import asyncio
import re
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4  # noqa: TID251 a client makes its own names

from bench.load.driver import drive
from bench.load.flows import Fetch, Round
from bench.load.generator import Plan
from bench.load.wire import request
from bench.system import System

CONNECTIONS = 32
PAGE_CONNECTIONS = 8
CACHED_SHOWS = 20


AS_BROWSERS = {"Accept_Encoding": "gzip, deflate, br, zstd"}


@dataclass(frozen=True, slots=True)
class Load:
    """`cold` seat maps are read once each; the others as often as time allows."""

    seconds: float
    cold: int


QUICK = Load(seconds=1, cold=100)
FULL = Load(seconds=8, cold=400)


async def seat_maps(system: System, load: Load) -> dict[str, Any]:
    """Of shows that nobody looked at, of popular ones, and of those known already."""
    shows = await system.shows()
    paths = [f"/api/booking/shows/{show_id}/seats" for show_id in shows]
    popular = paths[:CACHED_SHOWS]
    cold = await _most(system, paths[-load.cold :], count=load.cold, connections=8)
    cached = await _most(system, popular, seconds=load.seconds)
    tags = [await asyncio.to_thread(_etag, system, path) for path in popular]
    known = [{"If_None_Match": tag} for tag in tags]
    unchanged = await _most(system, popular, known, status=304, seconds=load.seconds)
    return {"cold": cold, "cached": cached, "unchanged": unchanged}


async def pages(system: System, load: Load) -> dict[str, Any]:
    """Home, a movie, a seat map: what everybody sees when a film opens. Then what cannot be
    shared: seat maps that nobody looked at, and pages of somebody who is signed in."""
    [row] = await system.query(
        "movies",
        "SELECT movie_id, show_id FROM shows WHERE status = 'scheduled'"
        " AND starts_at > now() + interval '1 day' ORDER BY starts_at, show_id LIMIT 1",
    )
    paths = {
        "home": "/",
        "movie": f"/movies/{row['movie_id']}",
        "seats": f"/shows/{row['show_id']}",
    }
    cookie = await asyncio.to_thread(_signed_in, system)
    most = partial(_most, system, connections=PAGE_CONNECTIONS)
    figures = {name: await most([path], seconds=load.seconds) for name, path in paths.items()}
    figures |= {
        f"{name}_signed_in": await most([path], [{"Cookie": cookie}], seconds=load.seconds)
        for name, path in paths.items()
    }
    unseen = [f"/shows/{show_id}" for show_id in (await system.shows())[-load.cold :]]
    return figures | {"seats_cold": await most(unseen, count=len(unseen))}


async def _most(
    system: System,
    paths: Sequence[str],
    headers: Sequence[Mapping[str, str]] = (),
    *,
    status: int = 200,
    seconds: float = 600,
    count: int = 1_000_000,
    connections: int = CONNECTIONS,
) -> dict[str, Any]:
    endpoint = system.endpoint
    requests = [
        Fetch(request("GET", path, endpoint.host, None, **{**AS_BROWSERS, **own}))
        for path, own in zip(paths, headers or [{} for _ in paths], strict=True)
    ]
    plan = Plan(endpoint.host, endpoint.port, Round(requests, count), connections, seconds=seconds)
    outcome = await drive(plan)
    done = outcome.count("get", status)
    return {
        "done": done,
        "trouble": outcome.report.began - done,
        "per_second": round(done / outcome.report.seconds, 1),
        "latency": outcome.latencies().get("get"),
        "cpu_ms_each": outcome.cpu_ms_each(done),
        "statuses": outcome.statuses(),
        "processors": outcome.processors,
    }


def _etag(system: System, path: str) -> str:
    endpoint = system.endpoint
    with urllib.request.urlopen(f"http://{endpoint.host}:{endpoint.port}{path}") as answer:
        return str(answer.headers["ETag"])


def _signed_in(system: System) -> str:
    """The session cookie of a new guest, who came by the form."""
    cookies = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    home = f"http://{system.endpoint.host}:{system.endpoint.port}"
    with browser.open(f"{home}/sign-in") as page:
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.read().decode())
    assert found, "a form"
    form = {"csrf_token": found[1], "email": f"{uuid4()}@example.org"}
    with browser.open(f"{home}/guest", urlencode(form).encode()) as page:
        assert page.status == 200
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)
