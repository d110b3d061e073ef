// @ts-check
// Bytes: SHA-256, hexadecimal, and MessagePack in the one encoding that validators sign.

/** @typedef {null | boolean | number | string | Uint8Array | Array<any>} Packable */

const NUMBER_MAX = 2n ** 53n;
const DEPTH_MAX = 16;

/**
 * Throws unless the data has the expected structure.
 * @param {boolean} fine
 */
export function must(fine) {
  if (!fine) throw new RangeError("unexpected structure");
}

/**
 * A size in its shortest encoding.
 * @param {number} size
 * @param {[number, number, ...(number | null)[]]} codes the code with the size inside and the limit
 *   of such sizes, then the codes for sizes of one, two and four bytes
 * @param {number} bytesMin
 * @returns {Uint8Array}
 */
function packSize(size, [first, limit, ...codes], bytesMin = 0) {
  if (size < limit) return Uint8Array.of(first + size);
  const bytes = [1, 2, 4].find((n) => n > bytesMin && size < 256 ** n) ?? 4;
  return Uint8Array.of(codes[Math.log2(bytes)] ?? 0, ...bigEndian(size, bytes));
}

/**
 * @param {number} value
 * @param {number} bytes
 */
function bigEndian(value, bytes) {
  const digits = value.toString(16).padStart(2 * bytes, "0");
  return unhex(digits);
}

/**
 * @param {Packable} value
 * @returns {Uint8Array}
 */
export function pack(value) {
  if (value === null) return Uint8Array.of(0xc0);
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xc3 : 0xc2);
  if (typeof value === "number") {
    if (value >= 2 ** 32) return Uint8Array.of(0xcf, ...bigEndian(value, 8));
    return packSize(value, [0x00, 128, 0xcc, 0xcd, 0xce]);
  }
  if (typeof value === "string") {
    const data = utf8(value);
    return joined(packSize(data.length, [0xa0, 32, 0xd9, 0xda, 0xdb]), data);
  }
  if (value instanceof Uint8Array) {
    return joined(packSize(value.length, [0, 0, 0xc4, 0xc5, 0xc6]), value);
  }
  return joined(packSize(value.length, [0x90, 16, null, 0xdc, 0xdd], 1), ...value.map(pack));
}

/**
 * Throws RangeError and TypeError for anything but one MessagePack value of these types.
 * @param {Uint8Array} data
 * @returns {any}
 */
export function unpack(data) {
  let position = 0;

  /** @param {number} size */
  const take = (size) => {
    must(position + size <= data.length);
    return data.subarray(position, (position += size));
  };

  /** @param {number} size */
  const number = (size) => {
    const value = BigInt(`0x${hex(take(size))}`);
    must(value <= NUMBER_MAX);
    return Number(value);
  };

  /** @param {number} size */
  const text = (size) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(take(size));

  /**
   * @param {number} size
   * @param {number} depth
   * @returns {any[]}
   */
  const list = (size, depth) => {
    must(size <= data.length && depth < DEPTH_MAX);
    return Array.from({ length: size }, () => read(depth + 1));
  };

  /**
   * @param {number} depth
   * @returns {any}
   */
  const read = (depth) => {
    const code = number(1);
    if (code < 0x80) return code;
    if (code >= 0x90 && code < 0xa0) return list(code - 0x90, depth);
    if (code >= 0xa0 && code < 0xc0) return text(code - 0xa0);
    switch (code) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return take(number(1));
      case 0xc5: return take(number(2));
      case 0xc6: return take(number(4));
      case 0xcc: return number(1);
      case 0xcd: return number(2);
      case 0xce: return number(4);
      case 0xcf: return number(8);
      case 0xd9: return text(number(1));
      case 0xda: return text(number(2));
      case 0xdb: return text(number(4));
      case 0xdc: return list(number(2), depth);
      case 0xdd: return list(number(4), depth);
      default: throw new RangeError("a type that is not allowed");
    }
  };

  const value = read(0);
  must(position === data.length);
  return value;
}

/** @param {string} text */
export function utf8(text) {
  return new TextEncoder().encode(text);
}

/** @param {string} text */
export function ascii(text) {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** @param {Uint8Array} data */
export function hex(data) {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} digits */
export function unhex(digits) {
  if (!/^(?:[0-9a-f]{2})*$/.test(digits)) throw new RangeError("not hexadecimal");
  const length = digits.length / 2;
  return Uint8Array.from({ length }, (_, at) => parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}

/** @param {Uint8Array[]} parts */
export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}

/** @param {Uint8Array[]} parts */
export async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
}
