// @ts-check
// A browser of which only what live.js uses is there; its clock runs as fast as it can.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { follow } from "../../../../src/cinesync/web/storefront/static/live.js";

const LIVE = "/api/booking/shows/7/live?since=42";
const SEATS = [{ seat: "A1", state: "booked" }, { seat: "A2", state: "free" }];
const GLOBALS = ["EventSource", "fetch", "document", "addEventListener", "setTimeout", "clearTimeout"];

/** @typedef {{status: number, retryAfter?: string, seats?: object[]}} Answer */

/** @type {Record<string, any>} */
const globals = globalThis;
/** @type {Map<string, any>} */
const originals = new Map();
const realNow = Date.now;

beforeEach(() => { for (const name of GLOBALS) originals.set(name, globals[name]); });
afterEach(() => {
  for (const [name, value] of originals) globals[name] = value;
  Date.now = realNow;
});

/** Lets all promises settle that do not wait for a timer. */
async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await null;
}

/**
 * Puts a fake browser in place of the globals.
 * @param {boolean[]} refusals of the streams
 * @param {Answer[]} answers to the polls; the last one repeats
 */
function fakeBrowser(refusals, answers) {
  const browser = {
    /** @type {any[][]} */
    log: [],
    /** @type {[number, () => Promise<void>][]} */
    timers: [],
    /** @type {Record<string, () => void>} */
    pageListeners: {},
    /** @type {any} */
    source: null,
    now: 0,
  };

  globals.EventSource = class FakeEventSource {
    static CLOSED = 2;

    /** @param {string} url */
    constructor(url) {
      this.readyState = 0;
      /** @type {Record<string, (event: object) => void>} */
      this.listeners = {};
      browser.log.push(["stream", url]);
      browser.source = this;
      if (refusals.shift()) queueMicrotask(() => { this.readyState = 2; this.listeners.error({}); });
    }

    /**
     * @param {string} name
     * @param {(event: object) => void} listener
     */
    addEventListener(name, listener) { this.listeners[name] = listener; }

    close() { this.readyState = 2; browser.log.push(["closed"]); }
  };
  globals.fetch = async (/** @type {string} */ url) => {
    browser.log.push(["fetch", url]);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    const headers = new Map([["Retry-After", answer?.retryAfter]]);
    return { ok: answer?.status === 200, headers, json: async () => ({ seats: answer?.seats }) };
  };
  globals.document = { hidden: false };
  globals.addEventListener = (/** @type {string} */ name, /** @type {() => void} */ listener) => {
    browser.pageListeners[name] = listener;
  };
  globals.setTimeout = (/** @type {() => Promise<void>} */ callback, /** @type {number} */ ms) => {
    browser.timers.push([browser.now + ms, callback]);
    return callback;
  };
  globals.clearTimeout = (/** @type {unknown} */ callback) => {
    browser.timers = browser.timers.filter(([, other]) => other !== callback);
  };
  Date.now = () => browser.now;
  return browser;
}

/**
 * What the page requests and hears, in order, over so many timers; then it is left.
 * @param {boolean[]} refusals
 * @param {Answer[]} answers
 * @param {number} steps
 */
async function run(refusals, answers, steps) {
  const browser = fakeBrowser(refusals, answers);
  const { log } = browser;
  follow(LIVE, {
    changed: (seats) => log.push(["changed", seats]),
    snapshot: (seats) => log.push(["snapshot", seats]),
    showChanged: () => log.push(["show"]),
  });
  await settle();
  for (let step = 0; step < steps && browser.timers.length; step += 1) {
    browser.timers.sort(([one], [other]) => one - other);
    const [[at, callback]] = browser.timers.splice(0, 1);
    log.push(["waited", Math.round(at - browser.now)]);
    browser.now = at;
    await callback();
    await settle();
  }
  const event = { data: '{"version": 1, "seats": {"A1": "held"}}' };
  if (browser.source.readyState !== 2) browser.source.listeners.seats(event);
  browser.pageListeners.pagehide();
  return { log, timersLeft: browser.timers.length };
}

test("with a stream nothing is polled", async () => {
  const { log } = await run([false], [{ status: 200, seats: SEATS }], 50);
  assert.deepEqual(log, [["stream", LIVE], ["changed", { A1: "held" }], ["closed"]]);
});

test("without a stream the seat map is polled, and a stream tried again", async () => {
  const { log, timersLeft } = await run([true], [{ status: 200, seats: SEATS }], 100);
  const kinds = log.map(([kind]) => kind);
  const count = (/** @type {string} */ kind) => kinds.filter((one) => one === kind).length;
  assert.deepEqual(log.find(([kind]) => kind === "fetch"), ["fetch", "/api/booking/shows/7/seats"]);
  assert.deepEqual(log.find(([kind]) => kind === "snapshot"), ["snapshot", { A1: "booked" }]);
  assert.equal(count("stream"), 2);
  assert.equal(count("fetch"), count("snapshot"));
  assert.ok(count("fetch") >= 10);
  assert.deepEqual(kinds.slice(-2), ["changed", "closed"], "the second stream is followed");
  assert.equal(timersLeft, 0);
});

test("a refused poll waits as long as the answer says", async () => {
  const busy = { status: 503, retryAfter: "30" };
  const { log } = await run([true], [busy, { status: 200, seats: SEATS }], 2);
  const [first, second] = log.filter(([kind]) => kind === "waited").map(([, ms]) => ms);
  assert.ok(first >= 4000 && first <= 6000);
  assert.ok(second >= 30000 && second <= 45000);
  assert.deepEqual(log.find(([kind]) => kind === "snapshot"), ["snapshot", { A1: "booked" }]);
});

test("a page that is left stops polling", async () => {
  assert.equal((await run([true], [{ status: 200, seats: SEATS }], 1)).timersLeft, 0);
});
