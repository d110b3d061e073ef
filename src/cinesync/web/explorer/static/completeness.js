// @ts-check
// Verifies that a list of a booking's entries is complete, by the rules of `cinesync verify`.
//
// The header's map has one value for all entries of a booking. Whoever leaves an entry out, adds one
// or exchanges two gets another value, and so another root than the one that the validators signed.

import { ascii, hex, joined, sha256 } from "./bytes.js";
import { InvalidDocument, format, hexadecimal, isId, listed, members, whole } from "./strict_json.js";
import {
  CERTIFIED_MEMBERS, checkCertified, leafOf, parsed, readCertified, readEntry,
} from "./verify.js";

/**
 * @typedef {import("./validators.js").Genesis} Genesis
 * @typedef {{index: number, entry: import("./verify.js").Entry}} IndexedEntry
 * @typedef {{key: Uint8Array, value: Uint8Array}} Leaf
 * @typedef {import("./verify.js").CertifiedHeader & {
 *   booking: string, entries: IndexedEntry[], path: Uint8Array[][], other: Leaf | null,
 * }} CompletenessProof
 */

export const FORMAT = "cinesync-completeness/1";
const MEMBERS = [...CERTIFIED_MEMBERS, "booking_id", "entries", "path", "other"];
const ENTRIES_MAX = 4096;
const DEPTH_MAX = 64;
const SIBLINGS = 15;
const EMPTY = new Uint8Array(32);

/**
 * The proof in a file, every part of it checked. Throws InvalidDocument.
 * @param {Uint8Array} bytes
 * @param {Genesis | null} pinned
 */
export async function verifyCompleteness(bytes, pinned = null) {
  return verifyCompletenessValue(parsed(bytes, "completeness"), pinned, "completeness");
}

/**
 * Like `verifyCompleteness`, for a value that is parsed already.
 * @param {unknown} value
 * @param {Genesis | null} pinned
 * @param {string} where
 */
export async function verifyCompletenessValue(value, pinned, where) {
  const proof = read(value, where);
  await checkCertified(proof, pinned, where);
  checkEntries(proof, `${where}.entries`);
  await checkMap(proof, where);
  return proof;
}

/**
 * @param {unknown} document
 * @param {string} where
 * @returns {CompletenessProof}
 */
function read(document, where) {
  const value = members(document, MEMBERS, where);
  format(value.format, FORMAT, where);
  if (!isId(value.booking_id)) {
    throw new InvalidDocument(`${where}.booking_id`, "not a UUID in lower case");
  }
  const items = listed(value.entries, `${where}.entries`, ENTRIES_MAX);
  const certified = readCertified(value, where);
  const entries = items.map((item, at) => readIndexed(item, `${where}.entries[${at}]`));
  const levels = listed(value.path, `${where}.path`, DEPTH_MAX);
  const path = levels.map((item, at) => readLevel(item, `${where}.path[${at}]`));
  const other = value.other === null ? null : readLeaf(value.other, `${where}.other`);
  return { ...certified, booking: value.booking_id, entries, path, other };
}

/**
 * @param {unknown} document
 * @param {string} where
 * @returns {IndexedEntry}
 */
function readIndexed(document, where) {
  const value = members(document, ["index", "entry"], where);
  const entry = readEntry(value.entry, `${where}.entry`);
  return { index: whole(value.index, `${where}.index`), entry };
}

/**
 * @param {unknown} document
 * @param {string} where
 */
function readLevel(document, where) {
  const hashes = listed(document, where, SIBLINGS);
  if (hashes.length !== SIBLINGS) throw new InvalidDocument(where, `not ${SIBLINGS} hashes`);
  return hashes.map((item, at) => readSibling(item, `${where}[${at}]`));
}

/**
 * @param {unknown} value
 * @param {string} where
 */
function readSibling(value, where) {
  if (value === null) return EMPTY;
  const node = hexadecimal(value, where);
  if (hex(node) === hex(EMPTY)) throw new InvalidDocument(where, "an empty place is spelled null");
  return node;
}

/**
 * @param {unknown} document
 * @param {string} where
 * @returns {Leaf}
 */
function readLeaf(document, where) {
  const value = members(document, ["key", "value"], where);
  return {
    key: hexadecimal(value.key, `${where}.key`),
    value: hexadecimal(value.value, `${where}.value`),
  };
}

/**
 * @param {CompletenessProof} proof
 * @param {string} where
 */
function checkEntries({ header, booking, entries }, where) {
  let before = -1;
  for (const [at, { index, entry }] of entries.entries()) {
    if (entry.booking_id !== booking) {
      throw new InvalidDocument(`${where}[${at}].entry.booking_id`, "another booking");
    }
    if (index <= before) {
      throw new InvalidDocument(`${where}[${at}].index`, "not in the order of the log");
    }
    if (index >= header.size) {
      throw new InvalidDocument(`${where}[${at}].index`, `not in a log of ${header.size}`);
    }
    before = index;
  }
}

/**
 * @param {CompletenessProof} proof
 * @param {string} where
 */
async function checkMap({ header, booking, entries, path, other }, where) {
  const key = await sha256(ascii("cinesync/subject/1\0"), ascii(booking));
  const root = await rootFrom(key, await valueOf(entries), path, other, `${where}.path`);
  if (hex(root) !== header.map_root) {
    throw new InvalidDocument(`${where}.entries`, "not all, or not only, what the signed map has");
  }
}

/**
 * The map's value: a hash chain over the index and the leaf hash of each entry; null for none.
 * @param {IndexedEntry[]} entries
 */
async function valueOf(entries) {
  let value = null;
  for (const { index, entry } of entries) {
    const place = new Uint8Array(8);
    new DataView(place.buffer).setBigUint64(0, BigInt(index));
    const link = joined(value ?? EMPTY, place, await leafOf(entry));
    value = await sha256(ascii("cinesync/subject-entry/1\0"), link);
  }
  return value;
}

/**
 * The root of the map in which `key` has `value`, or, if that is null, has none.
 * @param {Uint8Array} key
 * @param {Uint8Array | null} value
 * @param {Uint8Array[][]} path
 * @param {Leaf | null} other the leaf of another key that stands where `key` would
 * @param {string} where
 */
async function rootFrom(key, value, path, other, where) {
  const [depth, digits] = [path.length, hex(key)];
  if (depth === 0) throw new InvalidDocument(where, "the path is too short");
  let child = value === null ? EMPTY : await leafHash(key, value);
  if (other !== null) {
    if (value !== null || hex(other.key) === digits) {
      throw new InvalidDocument(where, "another leaf cannot stand where the key does");
    }
    if (hex(other.key).slice(0, depth) !== digits.slice(0, depth)) {
      throw new InvalidDocument(where, "the other leaf does not stand where the key would");
    }
    child = await leafHash(other.key, other.value);
  }
  for (let at = depth - 1; at >= 0; at -= 1) {
    const [siblings, digit] = [path[at], parseInt(digits[at], 16)];
    const children = [...siblings.slice(0, digit), child, ...siblings.slice(digit)];
    child = await sha256(ascii("cinesync/map-node/1\0"), ...children);
  }
  return child;
}

/**
 * @param {Uint8Array} key
 * @param {Uint8Array} value
 */
const leafHash = (key, value) => sha256(ascii("cinesync/map-leaf/1\0"), key, value);
