// Shows what verify.js finds: of the receipts in a page, and of a file dropped or chosen.

import { FILE_BYTES_MAX, verifyFile } from "./fraud.js";
import { Invalid, chainOf, loadGenesis } from "./verify.js";

const OTHER = "not valid: receipt.entry: a good receipt, but of another event";
const ANOTHER = "not valid: a good proof, but not of the entries on this page; look again in a moment";
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const encoder = new TextEncoder();

/** One line for people, as `cinesync verify` prints it, of a receipt or all of a booking. */
export function verdict(found, pinned, chain) {
  const { header } = found;
  const when = utc(new Date(Math.floor(header.time / 1000)));
  const trust = pinned ? "" : `; the genesis ${chain.slice(0, 16)}… is the file's own: pin yours`;
  return `valid: ${found.entry ? ofOne(found) : ofAll(found)} of ${header.size} at height`
    + ` ${header.height}, ${when}, signed by ${found.certificate.votes.length} validators${trust}`;
}

function utc(at) {
  const two = (number) => String(number).padStart(2, "0");
  const clock = [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map(two).join(":");
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}, ${clock} UTC`;
}

function ofOne({ entry, index }) {
  return `${entry.kind} ${entry.event_id} of booking ${entry.booking_id} is entry ${index}`;
}

function ofAll({ booking, entries }) {
  const [count, indices] = [entries.length, entries.map(({ index }) => index).join(", ")];
  const many = `exactly ${count} ${count === 1 ? "entry" : "entries"} (${indices})`;
  return `booking ${booking} has ${count ? many : "no entry"} in the log`;
}

function accusation({ what, liars }) {
  return `FRAUD: ${what}; validators ${liars.join(", ")} signed both`;
}

/** What a file's bytes prove, against the genesis that `pin()` gives: {good, text, receipt, all, fraud}. */
export async function judge(bytes, pin) {
  if (!globalThis.crypto?.subtle) {
    return { good: false, text: "This browser checks signatures only over https (or on this very machine)." };
  }
  try {
    const pinned = pin();
    const { receipt, all, fraud } = await verifyFile(bytes, pinned);
    if (fraud) return { good: true, fraud, text: accusation(fraud) };
    const found = receipt ?? all;
    return { good: true, text: verdict(found, pinned, await chainOf(found.genesis)), receipt, all };
  } catch (error) {
    if (!(error instanceof Invalid)) throw error;
    return { good: false, text: `not valid: ${error.message}` };
  }
}

function say(place, { good, text, fraud }) {
  const mark = document.createElement("span");
  mark.className = `state ${good && !fraud ? "is-good" : "is-bad"}`;
  mark.textContent = good ? "✓ Verified by your browser" : "✕ Not verified";
  if (fraud) mark.textContent = "! A proof of fraud, verified by your browser";
  place.replaceChildren(mark, document.createElement("br"), text);
  place.dataset.good = good;
}

function given(element) {
  const text = element.closest("[data-genesis]")?.dataset.genesis;
  return text ? loadGenesis(encoder.encode(text)) : null;
}

async function judgePage() {
  for (const place of document.querySelectorAll("[data-all]")) {
    const found = await judge(encoder.encode(place.dataset.all), () => given(place));
    say(place, isThisPage(found, place) ? found : { good: false, text: ANOTHER });
  }
  for (const place of document.querySelectorAll("[data-receipt]")) {
    const found = await judge(encoder.encode(place.dataset.receipt), () => given(place));
    say(place, isMeant(found, place) ? found : { good: false, text: OTHER });
  }
}

/** A good proof of another booking, or of other entries than this page shows, is none here. */
function isThisPage({ good, all }, { dataset }) {
  const events = all?.entries.map(({ entry }) => entry.event_id).join(" ");
  return !good || (all?.booking === dataset.booking && events === dataset.events);
}

/** A good receipt of something else proves nothing here. */
function isMeant({ good, receipt }, { dataset }) {
  const { event_id, booking_id } = receipt?.entry ?? {};
  return !good || (event_id === dataset.event && booking_id === dataset.booking);
}

function told({ receipt, all }) {
  if (all) return all.entries.map(({ index, entry }) => [`entry ${index}`, `${entry.kind} ${entry.event_id}`]);
  return Object.entries(receipt?.entry.facts ?? {});
}

function tell(list, found) {
  const rows = told(found).map(([name, value]) => {
    const [row, term, fact] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name.replaceAll("_", " ");
    fact.textContent = typeof value === "object" ? JSON.stringify(value) : value;
    row.append(term, fact);
    return row;
  });
  list.replaceChildren(...rows);
}

function watchFiles(drop) {
  const pin = document.querySelector("[data-pin]");
  const result = document.querySelector("[data-result]");
  let pinned = null;
  let last = null;

  async function check() {
    if (!last) return;
    result.hidden = false;
    const found = last.size > FILE_BYTES_MAX
      ? { good: false, text: `not valid: file: larger than ${FILE_BYTES_MAX} bytes` }
      : await judge(new Uint8Array(await last.arrayBuffer()), () => pinned);
    say(result.querySelector("[data-verdict]"), found);
    tell(result.querySelector("[data-facts]"), found);
  }

  async function trust(genesis) {
    pinned = genesis;
    const place = pin.querySelector("[data-chain]");
    if (place) place.textContent = await chainOf(genesis);
    await check();
  }

  async function choose(file) {
    last = file;
    await check();
  }

  async function pinFile(input) {
    const [file] = input.files;
    if (!file) return;
    try {
      await trust(loadGenesis(new Uint8Array(await file.slice(0, FILE_BYTES_MAX).arrayBuffer())));
      input.setCustomValidity("");
    } catch (error) {
      if (!(error instanceof Invalid)) throw error;
      input.setCustomValidity(`This is no genesis. ${error.message}`);
      input.reportValidity();
    }
  }

  drop.hidden = pin.querySelector("[data-own]").hidden = false;
  if (pin.dataset.genesis && globalThis.crypto?.subtle) trust(given(pin));
  const input = drop.querySelector("[data-file]");
  input.addEventListener("change", () => choose(input.files[0] ?? null));
  const own = pin.querySelector("[data-genesis-file]");
  own.addEventListener("change", () => pinFile(own));
  for (const name of ["dragenter", "dragover"]) {
    addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("is-over"); });
  }
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("is-over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("is-over");
    if (event.dataTransfer.files.length) choose(event.dataTransfer.files[0]);
  });
}

const drop = document.querySelector("[data-drop]");
if (drop) watchFiles(drop);
judgePage();
