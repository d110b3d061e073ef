// MessagePack in its one spelling, as validators sign it, and what else is done to bytes.

const NUMBER_MAX = 2n ** 53n;
const DEPTH_MAX = 16;

export function must(fine) {
  if (!fine) throw new RangeError("not this shape");
}

/** Sizes in their shortest form: [within the first byte, the code of one byte, of two, of four]. */
function sized(size, [first, within, ...codes], bytesMin = 0) {
  if (size < within) return Uint8Array.of(first + size);
  const bytes = [1, 2, 4].find((n) => n > bytesMin && size < 256 ** n);
  return Uint8Array.of(codes[Math.log2(bytes)], ...bigEndian(size, bytes));
}

function bigEndian(value, bytes) {
  const digits = value.toString(16).padStart(2 * bytes, "0");
  return unhex(digits);
}

export function pack(value) {
  if (value === null) return Uint8Array.of(0xc0);
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xc3 : 0xc2);
  if (typeof value === "number") {
    if (value >= 2 ** 32) return Uint8Array.of(0xcf, ...bigEndian(value, 8));
    return sized(value, [0x00, 128, 0xcc, 0xcd, 0xce]);
  }
  if (typeof value === "string") {
    const data = utf8(value);
    return joined(sized(data.length, [0xa0, 32, 0xd9, 0xda, 0xdb]), data);
  }
  if (value instanceof Uint8Array) return joined(sized(value.length, [0, 0, 0xc4, 0xc5, 0xc6]), value);
  return joined(sized(value.length, [0x90, 16, null, 0xdc, 0xdd], 1), ...value.map(pack));
}

export function unpack(data) {
  let at = 0;
  const take = (size) => {
    must(at + size <= data.length);
    return data.subarray(at, (at += size));
  };
  const number = (size) => {
    const value = BigInt(`0x${hex(take(size))}`);
    must(value <= NUMBER_MAX);
    return Number(value);
  };
  const text = (size) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(take(size));
  const list = (size, depth) => {
    must(size <= data.length && depth < DEPTH_MAX);
    return Array.from({ length: size }, () => read(depth + 1));
  };
  const read = (depth) => {
    const code = number(1);
    if (code < 0x80) return code;
    if (code >= 0x90 && code < 0xa0) return list(code - 0x90, depth);
    if (code >= 0xa0 && code < 0xc0) return text(code - 0xa0);
    const width = { 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8 }[code];
    if (width) return number(width);
    const others = {
      0xc0: () => null, 0xc2: () => false, 0xc3: () => true,
      0xc4: () => take(number(1)), 0xc5: () => take(number(2)), 0xc6: () => take(number(4)),
      0xd9: () => text(number(1)), 0xda: () => text(number(2)), 0xdb: () => text(number(4)),
      0xdc: () => list(number(2), depth), 0xdd: () => list(number(4), depth),
    };
    must(Object.hasOwn(others, code));
    return others[code]();
  };
  const value = read(0);
  must(at === data.length);
  return value;
}

export function utf8(text) {
  return new TextEncoder().encode(text);
}

export function ascii(text) {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

export function hex(data) {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function unhex(digits) {
  if (!/^(?:[0-9a-f]{2})*$/.test(digits)) throw new RangeError("not hexadecimal");
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) => parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}

export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

export async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
}
