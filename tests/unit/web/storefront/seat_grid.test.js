// @ts-check

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  choiceText, isArrow, nearest, stateForVisitor,
} from "../../../../src/cinesync/web/storefront/static/seat_grid.js";

/** @typedef {import("../../../../src/cinesync/web/storefront/static/seat_grid.js").Point} Point */

/** Two rows with an aisle in the middle; row B is shifted by half a seat. @type {[string, Point][]} */
const SEATS = [
  ["A1", [36, 36]], ["A2", [72, 36]], ["A3", [144, 36]],
  ["B1", [54, 72]], ["B2", [90, 72]], ["B3", [162, 72]],
];
const AT = new Map(SEATS);

/**
 * @param {string} seat
 * @param {string} arrow
 */
function move(seat, arrow) {
  assert.ok(isArrow(arrow));
  return nearest(AT.get(seat) ?? [0, 0], arrow, SEATS);
}

test("arrows move along a row and over an aisle", () => {
  assert.equal(move("A1", "ArrowRight"), "A2");
  assert.equal(move("A2", "ArrowRight"), "A3");
  assert.equal(move("A3", "ArrowLeft"), "A2");
});

test("arrows move to the nearest seat of the next row", () => {
  assert.equal(move("A1", "ArrowDown"), "B1");
  assert.equal(move("B3", "ArrowUp"), "A3");
});

test("at the edge an arrow moves nowhere", () => {
  assert.equal(move("A1", "ArrowLeft"), null);
  assert.equal(move("A1", "ArrowUp"), null);
  assert.equal(move("B3", "ArrowRight"), null);
});

test("other keys are no arrows", () => {
  assert.ok(!isArrow("Home") && !isArrow("toString"));
});

test("a seat in the visitor's own hold is free for the visitor", () => {
  const own = new Set(["A1"]);
  assert.equal(stateForVisitor("A1", "held", own), "free");
  assert.equal(stateForVisitor("A2", "held", own), "held");
  assert.equal(stateForVisitor("A1", "booked", own), "booked");
});

test("the choice names its seats and their total", () => {
  assert.equal(choiceText(["A1", "A2"], "£25"), "A1, A2: £25");
  assert.equal(choiceText([], "£0"), "Choose your seats on the map.");
});
