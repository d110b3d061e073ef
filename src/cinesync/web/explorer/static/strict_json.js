// @ts-check
// Canonical JSON (RFC 8785) with whole numbers only, and checks of an object's members.

import { unhex, utf8 } from "./bytes.js";

const DEPTH_MAX = 16;
const PRINTABLE = /^(?: |[^\p{C}\p{Z}])+$/u;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Says in one line where a document is wrong, and what is wrong there. */
export class InvalidDocument extends Error {
  /**
   * @param {string} where
   * @param {string} what
   */
  constructor(where, what) {
    super(`${where}: ${what}`);
    this.where = where;
    this.what = what;
  }
}

/**
 * The value of canonical JSON. Throws InvalidDocument.
 * @param {Uint8Array} bytes
 * @param {string} where
 * @returns {unknown}
 */
export function load(bytes, where) {
  let text, value;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new InvalidDocument(where, "not UTF-8");
  }
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InvalidDocument(where, String(/** @type {Error} */ (error).message).replaceAll(/\s+/g, " "));
  }
  const canonical = dump(value, where);
  if (canonical !== text) {
    const at = utf8(text.slice(0, difference(canonical, text))).length;
    throw new InvalidDocument(where, `byte ${at}: not canonical JSON (RFC 8785)`);
  }
  return value;
}

/**
 * @param {unknown} value
 * @returns {string}
 */
export function dump(value, where = "value", depth = 0) {
  if (depth > DEPTH_MAX) throw new InvalidDocument(where, "nested too deeply");
  if (typeof value === "number" && !Number.isInteger(value)) {
    throw new InvalidDocument(where, `${value} is not a whole number`);
  }
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new InvalidDocument(where, `${value} is not exact everywhere`);
  }
  if (typeof value === "string") return quoted(value, where);
  if (Array.isArray(value)) {
    return `[${value.map((item) => dump(item, where, depth + 1)).join(",")}]`;
  }
  if (isObject(value)) {
    const pairs = Object.keys(value).sort() // by UTF-16 code units
      .map((name) => `${quoted(name, where)}:${dump(value[name], where, depth + 1)}`);
    return `{${pairs.join(",")}}`;
  }
  return JSON.stringify(value);
}

/**
 * @param {string} text
 * @param {string} where
 */
function quoted(text, where) {
  // JSON.stringify would escape half a surrogate pair.
  if (/\p{Surrogate}/u.test(text)) throw new InvalidDocument(where, "half a surrogate pair is no text");
  return JSON.stringify(text);
}

/**
 * @param {string} one
 * @param {string} other
 */
function difference(one, other) {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  return at;
}

/**
 * An object with exactly these members.
 * @param {unknown} value
 * @param {string[]} names
 * @param {string} where
 * @returns {Record<string, any>}
 */
export function members(value, names, where) {
  if (!isObject(value)) throw new InvalidDocument(where, "not an object");
  for (const name of names) {
    if (!Object.hasOwn(value, name)) throw new InvalidDocument(where, `member "${name}" is missing`);
  }
  for (const name of Object.keys(value).sort()) {
    if (!names.includes(name)) throw new InvalidDocument(where, `member '${shortened(name)}' is unknown`);
  }
  return value;
}

/**
 * @param {unknown} value
 * @param {string} where
 * @returns {number}
 */
export function whole(value, where, most = Number.MAX_SAFE_INTEGER) {
  if (!isWhole(value, most)) throw new InvalidDocument(where, `not a whole number from 0 to ${most}`);
  return value;
}

/**
 * @param {unknown} value
 * @param {string} where
 */
export function hexadecimal(value, where, size = 32) {
  if (typeof value !== "string" || [...value].length !== 2 * size) {
    throw new InvalidDocument(where, `not ${2 * size} hexadecimal digits`);
  }
  if (!isHex(value)) throw new InvalidDocument(where, `not ${2 * size} lower-case hexadecimal digits`);
  return unhex(value);
}

/**
 * @param {unknown} value
 * @param {string} where
 * @param {number} most
 * @returns {any[]}
 */
export function listed(value, where, most) {
  if (!Array.isArray(value) || value.length > most) {
    throw new InvalidDocument(where, `not a list of at most ${most}`);
  }
  return value;
}

/**
 * @param {unknown} value
 * @param {string} where
 */
export function printable(value, where, most = 64) {
  if (typeof value !== "string" || [...value].length > most || !PRINTABLE.test(value)) {
    throw new InvalidDocument(where, `not a printable text of 1 to ${most} characters`);
  }
  return value;
}

/**
 * @param {unknown} value
 * @param {string} expected
 * @param {string} where
 */
export function format(value, expected, where) {
  if (value !== expected) throw new InvalidDocument(`${where}.format`, `not ${expected}`);
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * @param {unknown} value
 * @returns {value is number}
 */
export function isWhole(value, most = Number.MAX_SAFE_INTEGER) {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= most;
}

/**
 * @param {RegExp} pattern
 * @param {unknown} value
 * @returns {value is string}
 */
export function matches(pattern, value) {
  return typeof value === "string" && pattern.test(value);
}

/** @param {unknown} value */
export const isId = (value) => matches(UUID, value);

/** @param {unknown} value */
export const isHex = (value) => matches(/^(?:[0-9a-f]{2})*$/, value);

/** @param {string} name */
const shortened = (name) => [...name].slice(0, 40).join("");
