"""live.js: a browser that gets no stream of its own asks for the seat map instead (in node)."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.support.needs import need
from tests.support.places import SOURCE

SCRIPT = SOURCE / "web/storefront/static/live.js"
LIVE = "/api/booking/shows/7/live?since=42"

# A browser of which only what live.js touches is there; its clock runs as fast as it can.
BROWSER = """
import { follow } from %(script)s;

const log = [];
const refusals = %(refusals)s;
const answers = %(answers)s;
let now = 0;
let timers = [];
const listeners = {};

globalThis.EventSource = class EventSource {
  static CLOSED = 2;
  constructor(url) {
    this.readyState = 0;
    this.listeners = {};
    log.push(["stream", url]);
    EventSource.last = this;
    if (refusals.shift()) queueMicrotask(() => { this.readyState = 2; this.listeners.error({}); });
  }
  addEventListener(name, heard) { this.listeners[name] = heard; }
  close() { this.readyState = 2; log.push(["closed"]); }
};
globalThis.fetch = async (url) => {
  log.push(["fetch", url]);
  const { status, retry, seats } = answers.length > 1 ? answers.shift() : answers[0];
  const headers = new Map([["Retry-After", retry]]);
  return { ok: status === 200, headers, json: async () => ({ seats }) };
};
globalThis.document = { hidden: false };
globalThis.addEventListener = (name, heard) => { listeners[name] = heard; };
globalThis.setTimeout = (run, ms) => { timers.push([now + ms, run]); return run; };
globalThis.clearTimeout = (run) => { timers = timers.filter((one) => one[1] !== run); };
Date.now = () => now;

const settle = async () => { for (let turn = 0; turn < 20; turn += 1) await null; };
follow(%(url)s, {
  changed: (seats) => log.push(["changed", seats]),
  snapshot: (seats) => log.push(["snapshot", seats]),
  showChanged: () => log.push(["show"]),
});
await settle();
for (let step = 0; step < %(steps)s && timers.length; step += 1) {
  timers.sort((a, b) => a[0] - b[0]);
  const [at, run] = timers.shift();
  log.push(["waited", Math.round(at - now)]);
  now = at;
  await run();
  await settle();
}
const event = { data: '{"version": 1, "seats": {"A1": "held"}}' };
if (EventSource.last.readyState !== 2) EventSource.last.listeners.seats(event);
listeners.pagehide();
process.stdout.write(JSON.stringify({ log, left: timers.length }));
"""


@pytest.fixture(autouse=True)
def node() -> None:
    need("node", present=shutil.which("node") is not None)


def run(refusals: list[bool], answers: list[dict[str, Any]], steps: int) -> dict[str, Any]:
    """What the page asks for and is told, in order."""
    filled = {
        "script": json.dumps(SCRIPT.as_uri()),
        "refusals": json.dumps(refusals),
        "answers": json.dumps(answers),
        "url": json.dumps(LIVE),
        "steps": steps,
    }
    command = ["node", "--input-type=module", "--eval", BROWSER % filled]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


SEATS = [{"seat": "A1", "state": "booked"}, {"seat": "A2", "state": "free"}]


def test_with_a_stream_nothing_is_polled() -> None:
    log = run([False], [{"status": 200, "seats": SEATS}], 50)["log"]
    assert log == [["stream", LIVE], ["changed", {"A1": "held"}], ["closed"]]


def test_who_is_refused_a_stream_polls_and_tries_again() -> None:
    told = run([True], [{"status": 200, "seats": SEATS}], 100)
    log, kinds = told["log"], [one[0] for one in told["log"]]
    assert ["fetch", "/api/booking/shows/7/seats"] in log
    assert ["snapshot", {"A1": "booked"}] in log
    assert kinds.count("stream") == 2, "again, after a while"
    assert kinds.count("fetch") == kinds.count("snapshot") >= 10
    assert kinds[-2:] == ["changed", "closed"], "the second stream is followed"
    assert told["left"] == 0


def test_a_poll_that_is_refused_waits_as_long_as_it_is_asked_to() -> None:
    busy = {"status": 503, "retry": "30"}
    log = run([True], [busy, {"status": 200, "seats": SEATS}], 2)["log"]
    first, second = [one[1] for one in log if one[0] == "waited"]
    assert 4_000 <= first <= 6_000
    assert 30_000 <= second <= 45_000
    assert ["snapshot", {"A1": "booked"}] in log


def test_a_page_that_is_left_stops_asking() -> None:
    told = run([True], [{"status": 200, "seats": SEATS}], 1)
    assert told["left"] == 0
