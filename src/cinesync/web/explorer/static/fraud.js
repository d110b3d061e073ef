// @ts-check
// Verifies proofs of fraud: two valid files that exclude each other, so that validators who signed
// both have lied.

import { hex } from "./bytes.js";
import {
  FORMAT as COMPLETENESS, verifyCompleteness, verifyCompletenessValue,
} from "./completeness.js";
import { InvalidDocument, isObject, load, members } from "./strict_json.js";
import { hashOf, verify, verifyValue } from "./verify.js";

/**
 * @typedef {import("./validators.js").Genesis} Genesis
 * @typedef {import("./verify.js").Header} Header
 * @typedef {{contradiction: string, signers: number[]}} Fraud
 * @typedef {{
 *   receipt?: import("./verify.js").Receipt,
 *   completeness?: import("./completeness.js").CompletenessProof,
 *   fraud?: Fraud,
 * }} Verified exactly one of these
 */

const FORMAT = "cinesync-fraud/1";
export const FILE_BYTES_MAX = 2 * 1024 * 1024;

/**
 * What a file of any of these kinds proves. Throws InvalidDocument.
 * @param {Uint8Array} bytes
 * @param {Genesis | null} pinned
 * @returns {Promise<Verified>}
 */
export async function verifyFile(bytes, pinned) {
  if (bytes.length > FILE_BYTES_MAX) {
    throw new InvalidDocument("file", `larger than ${FILE_BYTES_MAX} bytes`);
  }
  const value = load(bytes, "receipt");
  const kind = isObject(value) ? value.format : null;
  if (kind === COMPLETENESS) return { completeness: await verifyCompleteness(bytes, pinned) };
  if (kind === FORMAT) return { fraud: await verifyFraud(value, pinned) };
  return { receipt: await verify(bytes, pinned) };
}

/**
 * @param {unknown} document
 * @param {Genesis | null} pinned
 * @returns {Promise<Fraud>}
 */
async function verifyFraud(document, pinned) {
  const value = members(document, ["format", "one", "other"], "fraud");
  const one = await verifyCertified(value.one, pinned, "fraud.one");
  const other = await verifyCertified(value.other, pinned, "fraud.other");
  const contradiction = await contradictionOf(one.header, other.header);
  if (!contradiction || one.header.chain !== other.header.chain) {
    throw new InvalidDocument("fraud", "these receipts do not contradict each other");
  }
  const [signers, others] = [one, other]
    .map((each) => each.certificate.votes.map((vote) => vote.replica));
  return { contradiction, signers: signers.filter((replica) => others.includes(replica)) };
}

/**
 * @param {unknown} value
 * @param {Genesis | null} pinned
 * @param {string} where
 * @returns {Promise<import("./verify.js").CertifiedHeader>}
 */
function verifyCertified(value, pinned, where) {
  const isCompleteness = isObject(value) && value.format === COMPLETENESS;
  return (isCompleteness ? verifyCompletenessValue : verifyValue)(value, pinned, where);
}

/**
 * Why no honest validator signs both headers, or null.
 * @param {Header} one
 * @param {Header} other
 */
async function contradictionOf(one, other) {
  const [low, high] = one.height <= other.height ? [one, other] : [other, one];
  const below = hex(await hashOf(low));
  if (low.size === high.size && low.root !== high.root) {
    return `two logs of ${low.size} entries with different roots`;
  }
  if (low.height === high.height && below !== hex(await hashOf(high))) {
    return `two blocks at height ${low.height}`;
  }
  if (low.height + 1 === high.height && high.previous !== below) {
    return `block ${high.height} does not follow block ${low.height}`;
  }
  if (low.size > high.size) return `the log shrank from ${low.size} to ${high.size} entries`;
  return null;
}
