// @ts-check
// Amounts as `cinesync.web.formats` writes them. `tests/unit/web/test_scripts.py` makes the vectors.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { moneyFormatter } from "../../../../src/cinesync/web/storefront/static/money.js";

const path = process.env.MONEY_VECTORS;
if (!path) throw new Error("MONEY_VECTORS is not set: run tests/unit/web/test_scripts.py");
/**
 * @type {{
 *   locale: string, currency: string, decimals: string, usualDecimals: string, amount: number, text: string,
 * }[]}
 */
const vectors = JSON.parse(readFileSync(path, "utf8"));

/** Signs of currencies differ by edition of CLDR; the number must not. @param {string} text */
const digitsOf = (text) => text.match(/[0-9][0-9.,]*/)?.[0];

test("every currency is written as the server writes it", () => {
  assert.ok(vectors.length > 1000);
  for (const { locale, amount, text, ...form } of vectors) {
    assert.equal(digitsOf(moneyFormatter(locale, form)(amount)), digitsOf(text), `${form.currency} ${amount}`);
  }
});

test("an amount has its currency's sign", () => {
  const pounds = { currency: "GBP", decimals: "2", usualDecimals: "2" };
  assert.equal(moneyFormatter("en-GB", pounds)(1250), "£12.50");
});
