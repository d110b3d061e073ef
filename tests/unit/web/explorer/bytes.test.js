// @ts-check

import assert from "node:assert/strict";
import { test } from "node:test";

import { hex, pack, sha256, unhex, unpack } from "../../../../src/cinesync/web/explorer/static/bytes.js";

// The Python side: `msgspec.msgpack.encode` of the same values.
/** @type {[any, string][]} */
const PACKED = [
  [null, "c0"], [false, "c2"], [true, "c3"],
  [0, "00"], [127, "7f"], [128, "cc80"], [256, "cd0100"], [65536, "ce00010000"],
  [2 ** 32, "cf0000000100000000"], [2 ** 53, "cf0020000000000000"],
  ["", "a0"], ["Größe", "a74772c3b6c39f65"], ["x".repeat(32), `d920${"78".repeat(32)}`],
  ["x".repeat(256), `da0100${"78".repeat(256)}`], ["x".repeat(65536), `db00010000${"78".repeat(65536)}`],
  [Uint8Array.of(1, 2), "c4020102"], [new Uint8Array(256), `c50100${"00".repeat(256)}`],
  [new Uint8Array(65536), `c600010000${"00".repeat(65536)}`],
  [[1, [2]], "92019102"], [Array(16).fill(1), `dc0010${"01".repeat(16)}`],
  [Array(65536).fill(1), `dd00010000${"01".repeat(65536)}`],
];

test("a value has one encoding, both ways", () => {
  for (const [value, digits] of PACKED) {
    assert.equal(hex(pack(value)), digits);
    assert.deepEqual(unpack(unhex(digits)), value);
  }
});

test("what is not exactly one allowed value is refused", () => {
  const refused = [
    "", "0000", "c1", "ca00000000", "81a16101", "d9", "a2ff", "a1ff", "92", "cf0020000000000001",
    "dd7fffffff", "91".repeat(18) + "00",
  ];
  for (const digits of refused) assert.throws(() => unpack(unhex(digits)), /structure|allowed|valid/i, digits);
});

test("hexadecimal digits are pairs in lower case", () => {
  assert.equal(hex(unhex("00ff7a")), "00ff7a");
  for (const wrong of ["0", "0G", "AB", " 00"]) assert.throws(() => unhex(wrong), RangeError);
});

test("parts are hashed as one", async () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assert.equal(hex(await sha256(Uint8Array.of(97), Uint8Array.of(98, 99))), abc);
});
