// @ts-check
// The browser's verifier agrees with the Python code about every file in the vectors: valid ones,
// altered ones and forged ones. `tests/unit/web/test_scripts.py` makes the vectors.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { verifyCompleteness } from "../../../../src/cinesync/web/explorer/static/completeness.js";
import { InvalidDocument } from "../../../../src/cinesync/web/explorer/static/strict_json.js";
import { loadGenesis } from "../../../../src/cinesync/web/explorer/static/validators.js";
import { verdictOf } from "../../../../src/cinesync/web/explorer/static/verdict.js";
import { verify } from "../../../../src/cinesync/web/explorer/static/verify.js";

/**
 * @typedef {{
 *   group: string, kind: "receipt" | "completeness", file: string, pinned: string | null,
 *   refusal: string | null, compare: "words" | "place",
 * }} Vector `refusal` is Python's message; `compare` says how much of it the browser shares
 * @typedef {{group: string, file: string, pinned: string | null, text: string}} VerdictVector
 */

Object.defineProperty(globalThis, "crypto", { value: webcrypto, configurable: true }); // as in Node 20

const path = process.env.PROOF_VECTORS;
if (!path) throw new Error("PROOF_VECTORS is not set: run tests/unit/web/test_scripts.py");
/** @type {{files: Vector[], verdicts: VerdictVector[]}} */
const vectors = JSON.parse(readFileSync(path, "utf8"));

/** @param {string} base64 */
const bytesOf = (base64) => new Uint8Array(Buffer.from(base64, "base64"));

/** @param {string | null} pinned */
const genesisOf = (pinned) => (pinned === null ? null : loadGenesis(bytesOf(pinned)));

/** @param {string | null} message */
const placeOf = (message) => message && message.split(": ")[0];

/** @param {Vector} vector */
async function refusalOf({ kind, file, pinned }) {
  try {
    await (kind === "receipt" ? verify : verifyCompleteness)(bytesOf(file), genesisOf(pinned));
    return null;
  } catch (error) {
    if (!(error instanceof InvalidDocument)) throw error;
    return error.message;
  }
}

const groups = new Set(vectors.files.map(({ group }) => group));
assert.ok(groups.size >= 10, "the vectors have all groups");
for (const group of groups) {
  test(group, async () => {
    for (const vector of vectors.files.filter((one) => one.group === group)) {
      const refusal = await refusalOf(vector);
      assert.ok(!refusal?.includes("\n"), "a refusal is one line");
      if (vector.compare === "words") assert.equal(refusal, vector.refusal);
      else assert.equal(placeOf(refusal), placeOf(vector.refusal), `${refusal}`);
    }
  });
}

for (const { group, file, pinned, text } of vectors.verdicts) {
  test(`the verdict in words: ${group}`, async () => {
    const verdict = await verdictOf(bytesOf(file), () => genesisOf(pinned));
    assert.equal(verdict.text, text);
    assert.equal(verdict.isValid, !text.startsWith("not valid"));
  });
}

test("without WebCrypto nothing is verified", async () => {
  const [{ file }] = vectors.verdicts;
  Object.defineProperty(globalThis, "crypto", { value: undefined, configurable: true });
  try {
    const verdict = await verdictOf(bytesOf(file), () => null);
    assert.equal(verdict.isValid, false);
    assert.match(verdict.text, /only over https/);
  } finally {
    Object.defineProperty(globalThis, "crypto", { value: webcrypto, configurable: true });
  }
});
