// @ts-check
// Verifies the receipts and proofs in a page, and files that the visitor drops or chooses.

import { FILE_BYTES_MAX } from "./fraud.js";
import { InvalidDocument } from "./strict_json.js";
import { chainOf, loadGenesis } from "./validators.js";
import { verdictOf } from "./verdict.js";

/**
 * @typedef {import("./validators.js").Genesis} Genesis
 * @typedef {import("./verdict.js").Verdict} Verdict
 */

const OTHER_EVENT = "not valid: receipt.entry: a valid receipt, but of another event";
const OTHER_ENTRIES = "not valid: a valid proof, but not of the entries on this page; reload it";
const encoder = new TextEncoder();

/**
 * An element that the template always has.
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {ParentNode} root
 */
function find(selector, root = document) {
  return /** @type {T} */ (root.querySelector(selector));
}

/**
 * @param {HTMLElement} place
 * @param {Verdict} verdict
 */
function show(place, { isValid, text, fraud }) {
  const mark = document.createElement("span");
  mark.className = `state ${isValid && !fraud ? "is-good" : "is-bad"}`;
  mark.textContent = isValid ? "✓ Verified by your browser" : "✕ Not verified";
  if (fraud) mark.textContent = "! A proof of fraud, verified by your browser";
  place.replaceChildren(mark, document.createElement("br"), text);
  place.dataset.valid = String(isValid);
}

/** @param {HTMLElement} element */
function genesisOf(element) {
  const text = /** @type {HTMLElement | null} */ (element.closest("[data-genesis]"))?.dataset.genesis;
  return text ? loadGenesis(encoder.encode(text)) : null;
}

async function verifyPage() {
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-all]"))) {
    const verdict = await verdictOf(encoder.encode(place.dataset.all), () => genesisOf(place));
    show(place, isOfThisPage(verdict, place.dataset) ? verdict : { isValid: false, text: OTHER_ENTRIES });
  }
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-receipt]"))) {
    const verdict = await verdictOf(encoder.encode(place.dataset.receipt), () => genesisOf(place));
    show(place, isOfThisEvent(verdict, place.dataset) ? verdict : { isValid: false, text: OTHER_EVENT });
  }
}

/**
 * A valid proof of another booking, or of other entries than the page shows, does not count.
 * @param {Verdict} verdict
 * @param {DOMStringMap} expected
 */
function isOfThisPage({ isValid, completeness }, expected) {
  const events = completeness?.entries.map(({ entry }) => entry.event_id).join(" ");
  return !isValid || (completeness?.booking === expected.booking && events === expected.events);
}

/**
 * A valid receipt of another event does not count.
 * @param {Verdict} verdict
 * @param {DOMStringMap} expected
 */
function isOfThisEvent({ isValid, receipt }, expected) {
  const entry = receipt?.entry;
  return !isValid || (entry?.event_id === expected.event && entry?.booking_id === expected.booking);
}

/**
 * @param {Verdict} verdict
 * @returns {[string, unknown][]}
 */
function factsOf({ receipt, completeness }) {
  if (completeness) {
    return completeness.entries.map(({ index, entry }) => [`entry ${index}`, `${entry.kind} ${entry.event_id}`]);
  }
  return Object.entries(receipt?.entry.facts ?? {});
}

/**
 * @param {HTMLElement} list
 * @param {Verdict} verdict
 */
function showFacts(list, verdict) {
  const rows = factsOf(verdict).map(([name, value]) => {
    const [row, term, fact] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name.replaceAll("_", " ");
    fact.textContent = typeof value === "object" ? JSON.stringify(value) : String(value);
    row.append(term, fact);
    return row;
  });
  list.replaceChildren(...rows);
}

/** @param {HTMLElement} drop */
function acceptFiles(drop) {
  const pin = find("[data-pin]");
  const result = find("[data-result]");
  /** @type {Genesis | null} */
  let pinned = null;
  /** @type {File | null} */
  let chosen = null;

  async function verifyChosen() {
    if (!chosen) return;
    result.hidden = false;
    const verdict = chosen.size > FILE_BYTES_MAX
      ? { isValid: false, text: `not valid: file: larger than ${FILE_BYTES_MAX} bytes` }
      : await verdictOf(new Uint8Array(await chosen.arrayBuffer()), () => pinned);
    show(find("[data-verdict]", result), verdict);
    showFacts(find("[data-facts]", result), verdict);
  }

  /** @param {Genesis | null} genesis */
  async function trust(genesis) {
    pinned = genesis;
    const place = pin.querySelector("[data-chain]");
    if (place && genesis) place.textContent = await chainOf(genesis);
    await verifyChosen();
  }

  /** @param {File | null} file */
  async function choose(file) {
    chosen = file;
    await verifyChosen();
  }

  /** @param {HTMLInputElement} input */
  async function pinFile(input) {
    const file = input.files?.[0];
    if (!file) return;
    try {
      await trust(loadGenesis(new Uint8Array(await file.slice(0, FILE_BYTES_MAX).arrayBuffer())));
      input.setCustomValidity("");
    } catch (error) {
      if (!(error instanceof InvalidDocument)) throw error;
      input.setCustomValidity(`This is no genesis. ${error.message}`);
      input.reportValidity();
    }
  }

  drop.hidden = false;
  find("[data-own]", pin).hidden = false;
  if (pin.dataset.genesis && globalThis.crypto?.subtle) trust(genesisOf(pin));
  /** @type {HTMLInputElement} */
  const input = find("[data-file]", drop);
  input.addEventListener("change", () => choose(input.files?.[0] ?? null));
  /** @type {HTMLInputElement} */
  const own = find("[data-genesis-file]", pin);
  own.addEventListener("change", () => pinFile(own));
  for (const name of ["dragenter", "dragover"]) {
    addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("is-over"); });
  }
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("is-over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("is-over");
    const file = event.dataTransfer?.files[0];
    if (file) choose(file);
  });
}

/** @type {HTMLElement | null} */
const drop = document.querySelector("[data-drop]");
if (drop) acceptFiles(drop);
verifyPage();
