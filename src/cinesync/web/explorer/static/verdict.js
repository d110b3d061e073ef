// @ts-check
// One line for people about what a file proves, in the words of `cinesync verify`.

import { verifyFile } from "./fraud.js";
import { InvalidDocument } from "./strict_json.js";
import { chainOf } from "./validators.js";

/**
 * @typedef {import("./validators.js").Genesis} Genesis
 * @typedef {import("./verify.js").Receipt} Receipt
 * @typedef {import("./completeness.js").CompletenessProof} CompletenessProof
 * @typedef {{isValid: boolean, text: string} & import("./fraud.js").Verified} Verdict
 */

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * @param {Uint8Array} bytes
 * @param {() => Genesis | null} pin may throw InvalidDocument
 * @returns {Promise<Verdict>}
 */
export async function verdictOf(bytes, pin) {
  if (!globalThis.crypto?.subtle) {
    const text = "This browser verifies signatures only over https (or on this very machine).";
    return { isValid: false, text };
  }
  try {
    const pinned = pin();
    const verified = await verifyFile(bytes, pinned);
    return { isValid: true, text: await textOf(verified, pinned), ...verified };
  } catch (error) {
    if (!(error instanceof InvalidDocument)) throw error;
    return { isValid: false, text: `not valid: ${error.message}` };
  }
}

/**
 * @param {import("./fraud.js").Verified} verified
 * @param {Genesis | null} pinned
 */
async function textOf({ receipt, completeness, fraud }, pinned) {
  if (fraud) return `FRAUD: ${fraud.contradiction}; validators ${fraud.signers.join(", ")} signed both`;
  if (receipt) return signedText(receiptText(receipt), receipt, pinned);
  if (completeness) return signedText(completenessText(completeness), completeness, pinned);
  throw new TypeError("nothing verified");
}

/**
 * @param {string} claim
 * @param {import("./verify.js").CertifiedHeader} certified
 * @param {Genesis | null} pinned
 */
async function signedText(claim, { genesis, header, certificate }, pinned) {
  const time = utc(new Date(Math.floor(header.time / 1000)));
  const chain = await chainOf(genesis);
  const warning = pinned ? "" : `; the genesis ${chain.slice(0, 16)}… is the file's own: pin yours`;
  return `valid: ${claim} of ${header.size} at height ${header.height}, ${time}, signed by`
    + ` ${certificate.votes.length} validators${warning}`;
}

/** @param {Receipt} receipt */
function receiptText({ entry, index }) {
  return `${entry.kind} ${entry.event_id} of booking ${entry.booking_id} is entry ${index}`;
}

/** @param {CompletenessProof} proof */
function completenessText({ booking, entries }) {
  const [count, indices] = [entries.length, entries.map(({ index }) => index).join(", ")];
  const all = `exactly ${count} ${count === 1 ? "entry" : "entries"} (${indices})`;
  return `booking ${booking} has ${count ? all : "no entry"} in the log`;
}

/** @param {Date} time */
function utc(time) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const clock = [time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds()].map(two).join(":");
  return `${time.getUTCDate()} ${MONTHS[time.getUTCMonth()]} ${time.getUTCFullYear()}, ${clock} UTC`;
}
