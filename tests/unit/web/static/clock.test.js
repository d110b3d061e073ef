// @ts-check

import assert from "node:assert/strict";
import { test } from "node:test";

import { minutesText, startCountdown } from "../../../../src/cinesync/web/static/clock.js";

/**
 * Runs a countdown on a clock that the test moves.
 * @param {import("node:test").TestContext} context
 * @param {number} secondsLeft
 */
function countdown(context, secondsLeft) {
  /** @type {string[]} */
  const log = [];
  let milliseconds = 5000;
  let isStopped = false;
  /** @type {() => void} */
  let tick = () => {};
  context.mock.method(globalThis, "setInterval", (/** @type {() => void} */ run) => { tick = run; return 1; });
  context.mock.method(globalThis, "clearInterval", () => { isStopped = true; });
  startCountdown(secondsLeft, {
    tick: (text) => log.push(text), warn: () => log.push("warn"), end: () => log.push("end"),
  }, () => milliseconds);
  return {
    log,
    isStopped: () => isStopped,
    /** @param {number} seconds */
    after(seconds) { milliseconds = 5000 + seconds * 1000; tick(); },
  };
}

test("a time has minutes and two digits of seconds", () => {
  assert.deepEqual([0, 9, 60, 600, 3599].map(minutesText), ["0:00", "0:09", "1:00", "10:00", "59:59"]);
});

test("a countdown warns once near the end, and ends once", (context) => {
  const { log, after, isStopped } = countdown(context, 300);
  after(179.5);
  after(180);
  after(181);
  assert.equal(isStopped(), false);
  after(300);
  assert.deepEqual(log, ["5:00", "2:01", "2:00", "warn", "1:59", "0:00", "end"]);
  assert.equal(isStopped(), true);
});

test("a tab that slept shows the time by the clock, not by ticks", (context) => {
  const { log, after } = countdown(context, 600);
  after(590);
  assert.deepEqual(log, ["10:00", "0:10", "warn"]);
});

test("a hold that has expired ends at once, without a warning", (context) => {
  assert.deepEqual(countdown(context, 0).log, ["0:00", "end"]);
});
