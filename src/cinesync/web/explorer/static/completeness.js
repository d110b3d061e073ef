// Are these all entries of a booking? The rules of `cinesync verify`, for browsers.

import { ascii, hex, joined, sha256 } from "./bytes.js";
import {
  Invalid, SIGNED_MEMBERS, checkSigned, format, hexadecimal, isId, leafOf, listed, members, parsed,
  readEntry, readSigned, whole,
} from "./verify.js";

export const FORMAT = "cinesync-completeness/1";
const MEMBERS = [...SIGNED_MEMBERS, "booking_id", "entries", "path", "other"];
const ENTRIES_MAX = 4096;
const DEPTH_MAX = 64;
const SIBLINGS = 15;
const EMPTY = new Uint8Array(32);

export async function verifyAll(bytes, pinned = null) {
  return verifyAllValue(parsed(bytes, "completeness"), pinned, "completeness");
}

/** The same of JSON that was parsed already. */
export async function verifyAllValue(value, pinned, where) {
  const found = read(value, where);
  await checkSigned(found, pinned, where);
  checkEntries(found, `${where}.entries`);
  await checkMap(found, where);
  return found;
}

function read(value, where) {
  members(value, MEMBERS, where);
  format(value.format, FORMAT, where);
  if (!isId(value.booking_id)) throw new Invalid(`${where}.booking_id`, "not a UUID in lower case");
  listed(value.entries, `${where}.entries`, ENTRIES_MAX);
  const signed = readSigned(value, where);
  const entries = value.entries.map((item, at) => readIndexed(item, `${where}.entries[${at}]`));
  listed(value.path, `${where}.path`, DEPTH_MAX);
  const path = value.path.map((item, at) => readLevel(item, `${where}.path[${at}]`));
  const other = value.other === null ? null : readOther(value.other, `${where}.other`);
  return { ...signed, booking: value.booking_id, entries, path, other };
}

function readIndexed(value, where) {
  members(value, ["index", "entry"], where);
  readEntry(value.entry, `${where}.entry`);
  return { index: whole(value.index, `${where}.index`), entry: value.entry };
}

function readLevel(value, where) {
  if (listed(value, where, SIBLINGS).length !== SIBLINGS) {
    throw new Invalid(where, `not ${SIBLINGS} hashes`);
  }
  return value.map((item, at) => readSibling(item, `${where}[${at}]`));
}

function readSibling(value, where) {
  if (value === null) return EMPTY;
  const node = hexadecimal(value, where);
  if (hex(node) === hex(EMPTY)) throw new Invalid(where, "an empty place is spelled null");
  return node;
}

function readOther(value, where) {
  members(value, ["key", "value"], where);
  return { key: hexadecimal(value.key, `${where}.key`), value: hexadecimal(value.value, `${where}.value`) };
}

function checkEntries({ header, booking, entries }, where) {
  let before = -1;
  for (const [at, { index, entry }] of entries.entries()) {
    if (entry.booking_id !== booking) {
      throw new Invalid(`${where}[${at}].entry.booking_id`, "another booking");
    }
    if (index <= before) throw new Invalid(`${where}[${at}].index`, "not in the order of the log");
    if (index >= header.size) {
      throw new Invalid(`${where}[${at}].index`, `not in a log of ${header.size}`);
    }
    before = index;
  }
}

async function checkMap({ header, booking, entries, path, other }, where) {
  const key = await sha256(ascii("cinesync/subject/1\0"), ascii(booking));
  const root = await rootFrom(key, await valueOf(entries), path, other, `${where}.path`);
  if (hex(root) !== header.map_root) {
    throw new Invalid(`${where}.entries`, "not all, or not only, what the signed map has");
  }
}

/** Over index and leaf hash of each entry, in order; null for none. */
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

async function rootFrom(key, value, path, other, where) {
  const [depth, digits] = [path.length, hex(key)];
  if (depth === 0) throw new Invalid(where, "the path is too short");
  let child = value === null ? EMPTY : await leafHash(key, value);
  if (other !== null) {
    if (value !== null || hex(other.key) === digits) {
      throw new Invalid(where, "another leaf cannot stand where the key does");
    }
    if (hex(other.key).slice(0, depth) !== digits.slice(0, depth)) {
      throw new Invalid(where, "the other leaf does not stand where the key would");
    }
    child = await leafHash(other.key, other.value);
  }
  for (let at = depth - 1; at >= 0; at -= 1) {
    child = await sha256(ascii("cinesync/map-node/1\0"), ...path[at].toSpliced(parseInt(digits[at], 16), 0, child));
  }
  return child;
}

const leafHash = (key, value) => sha256(ascii("cinesync/map-leaf/1\0"), key, value);
