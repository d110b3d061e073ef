// @ts-check
// Verifies receipts by the rules of `cinesync verify`, with WebCrypto and without a network.
//
// `verify(bytes, pinned)` returns the receipt after it has checked every part of it, or throws
// InvalidDocument, whose message says in one line where it is wrong and what is wrong there. The
// order of the checks and the words are those of `cinesync.proofs`, so that tests compare both.

import { ascii, hex, sha256, utf8 } from "./bytes.js";
import {
  InvalidDocument, dump, format, hexadecimal, isHex, isId, isObject, isWhole, listed, load, matches,
  members, whole,
} from "./strict_json.js";
import {
  LINKS_MAX, REPLICA_MAX, VALIDATORS_MAX, chainOf, checkLinks, isRising, keyOf, quorum, readGenesis,
  readLink, signs,
} from "./validators.js";

/**
 * @typedef {import("./validators.js").Genesis} Genesis
 * @typedef {import("./validators.js").Link} Link
 * @typedef {import("./validators.js").ValidatorSet} ValidatorSet
 * @typedef {{epoch: number, votes: import("./validators.js").Vote[]}} Certificate
 * @typedef {{
 *   chain: string, previous: string, entries_root: string, root: string, map_root: string,
 *   validators: string, height: number, time: number, size: number,
 * }} Header
 * @typedef {{
 *   event_id: string, booking_id: string, kind: string, time: number,
 *   facts: Record<string, any>, commitments: Record<string, string>,
 * }} Entry
 * @typedef {{genesis: Genesis, links: Link[], header: Header, certificate: Certificate}} CertifiedHeader
 * @typedef {CertifiedHeader & {entry: Entry, index: number, path: Uint8Array[]}} Receipt
 */

const FORMAT = "cinesync-receipt/1";
const RECEIPT_BYTES_MAX = 1024 * 1024;
const PATH_MAX = 64;
export const CERTIFIED_MEMBERS = ["format", "genesis", "links", "header", "certificate"];
const MEMBERS = [...CERTIFIED_MEMBERS, "entry", "index", "path"];
const ENTRY_MEMBERS = ["booking_id", "commitments", "event_id", "facts", "format", "kind", "time"];
const HEADER_NUMBERS = ["height", "time", "size"];
const HEADER_DIGESTS = ["chain", "previous", "entries_root", "root", "map_root", "validators"];
const NAME = /^[a-z][a-z0-9_.]{0,63}$/;

/**
 * @param {Uint8Array} bytes
 * @param {Genesis | null} pinned
 */
export async function verify(bytes, pinned = null) {
  return verifyValue(parsed(bytes, "receipt"), pinned, "receipt");
}

/**
 * The JSON value of a file.
 * @param {Uint8Array} bytes
 * @param {string} where
 */
export function parsed(bytes, where) {
  if (bytes.length > RECEIPT_BYTES_MAX) {
    throw new InvalidDocument(where, `larger than ${RECEIPT_BYTES_MAX} bytes`);
  }
  return load(bytes, where);
}

/**
 * Like `verify`, for a value that is parsed already.
 * @param {unknown} value
 * @param {Genesis | null} pinned
 * @param {string} where
 * @returns {Promise<Receipt>}
 */
export async function verifyValue(value, pinned, where) {
  const receipt = readReceipt(value, where);
  await checkCertified(receipt, pinned, where);
  await checkInclusion(receipt, where);
  return receipt;
}

/**
 * Throws unless a quorum of the validators in force signed the header.
 * @param {CertifiedHeader} found
 * @param {Genesis | null} pinned
 * @param {string} where
 */
export async function checkCertified(found, pinned, where) {
  await checkChain(found, pinned, where);
  const validators = await checkLinks(found.genesis, found.links, `${where}.links`);
  await checkSignatures(found, validators, where);
}

/**
 * The hash that validators sign.
 * @param {Header} header
 */
export async function hashOf(header) {
  return sha256(ascii("cinesync/header/2\0"), utf8(dump(header)));
}

/**
 * The log's leaf hash of an entry.
 * @param {Entry} entry
 */
export const leafOf = (entry) => sha256(Uint8Array.of(0), utf8(dump(entry)));

// the structure of a receipt

/**
 * @param {unknown} document
 * @param {string} where
 * @returns {Receipt}
 */
function readReceipt(document, where) {
  const value = members(document, MEMBERS, where);
  format(value.format, FORMAT, where);
  const entry = readEntry(value.entry, `${where}.entry`);
  const certified = readCertified(value, where);
  const path = listed(value.path, `${where}.path`, PATH_MAX);
  return {
    ...certified,
    entry,
    index: whole(value.index, `${where}.index`),
    path: path.map((node, at) => hexadecimal(node, `${where}.path[${at}]`)),
  };
}

/**
 * A header, and what proves that a quorum signed it.
 * @param {Record<string, any>} value
 * @param {string} where
 * @returns {CertifiedHeader}
 */
export function readCertified(value, where) {
  const links = listed(value.links, `${where}.links`, LINKS_MAX);
  return {
    genesis: readGenesis(value.genesis, `${where}.genesis`),
    links: links.map((item, at) => readLink(item, `${where}.links[${at}]`)),
    header: readHeader(value.header, `${where}.header`),
    certificate: readCertificate(value.certificate, `${where}.certificate`),
  };
}

/**
 * @param {unknown} document
 * @param {string} where
 * @returns {Entry}
 */
export function readEntry(document, where) {
  if (!isObject(document) || document.format !== "cinesync-entry/1") {
    throw new InvalidDocument(where, "not a cinesync-entry/1");
  }
  const value = members(document, ENTRY_MEMBERS, where);
  for (const name of ["event_id", "booking_id"]) {
    if (!isId(value[name])) throw new InvalidDocument(where, `${name} is not a UUID`);
  }
  if (!matches(NAME, value.kind)) throw new InvalidDocument(where, "kind is not a name");
  if (!isWhole(value.time)) throw new InvalidDocument(where, "time is not microseconds since 1970");
  if (!isMap(value.facts, isFact)) {
    throw new InvalidDocument(where, "facts are not names with simple values");
  }
  if (!isMap(value.commitments, isDigest)) {
    throw new InvalidDocument(where, "commitments are not names with digests");
  }
  return /** @type {Entry} */ (value);
}

/**
 * @param {unknown} value
 * @param {(item: unknown) => boolean} isValid
 */
const isMap = (value, isValid) => isObject(value)
  && Object.entries(value).every(([name, item]) => NAME.test(name) && isValid(item));

/** @param {unknown} value */
const isFact = (value) => value === null || ["boolean", "number", "string"].includes(typeof value)
  || (Array.isArray(value) && value.every((item) => typeof item === "string"));

/** @param {unknown} value */
const isDigest = (value) => typeof value === "string" && value.length === 64 && isHex(value);

/**
 * @param {unknown} document
 * @param {string} where
 * @returns {Header}
 */
function readHeader(document, where) {
  const value = members(document, ["format", ...HEADER_NUMBERS, ...HEADER_DIGESTS], where);
  format(value.format, "cinesync-header/2", where);
  for (const name of HEADER_NUMBERS) whole(value[name], `${where}.${name}`);
  for (const name of HEADER_DIGESTS) hexadecimal(value[name], `${where}.${name}`);
  return /** @type {Header} */ (value);
}

/**
 * @param {unknown} document
 * @param {string} where
 * @returns {Certificate}
 */
function readCertificate(document, where) {
  const value = members(document, ["epoch", "signatures"], where);
  const found = listed(value.signatures, `${where}.signatures`, VALIDATORS_MAX);
  const votes = found.map((item, at) => readVote(item, `${where}.signatures[${at}]`));
  if (!isRising(votes)) throw new InvalidDocument(`${where}.signatures`, "not one each, in rising order");
  return { epoch: whole(value.epoch, `${where}.epoch`), votes };
}

/**
 * @param {unknown} document
 * @param {string} where
 */
function readVote(document, where) {
  const value = members(document, ["replica", "signature"], where);
  return {
    replica: whole(value.replica, `${where}.replica`, REPLICA_MAX),
    signature: hexadecimal(value.signature, `${where}.signature`, 64),
  };
}

// the proof

/**
 * @param {CertifiedHeader} found
 * @param {Genesis | null} pinned
 * @param {string} where
 */
async function checkChain({ genesis, header }, pinned, where) {
  const chain = await chainOf(genesis);
  if (pinned !== null && chain !== (await chainOf(pinned))) {
    throw new InvalidDocument(`${where}.genesis`, "not the pinned genesis: this is another chain");
  }
  if (header.chain !== chain) {
    throw new InvalidDocument(`${where}.header.chain`, "not the hash of the genesis");
  }
  if (header.time < genesis.time) {
    throw new InvalidDocument(`${where}.header.time`, "before the genesis");
  }
}

/**
 * @param {CertifiedHeader} found
 * @param {ValidatorSet} set
 * @param {string} where
 */
async function checkSignatures({ header, certificate }, set, where) {
  const { epoch, validators } = set;
  const published = validators.map(({ replica, key }) => ({ public_key: hex(key), replica }));
  const domain = ascii("cinesync/validators/1\0");
  const setHash = await sha256(domain, utf8(dump({ epoch, validators: published })));
  if (header.validators !== hex(setHash)) {
    throw new InvalidDocument(`${where}.header.validators`, "not the hash of the validators in force");
  }
  if (certificate.epoch !== epoch) {
    throw new InvalidDocument(`${where}.certificate.epoch`, `not ${epoch}`);
  }
  const [votes, needed] = [certificate.votes, quorum(validators.length)];
  const list = `${where}.certificate.signatures`;
  if (votes.length < needed) {
    throw new InvalidDocument(list, `${votes.length} of the ${needed} that a quorum needs`);
  }
  const hash = await hashOf(header);
  for (const [at, { replica, signature }] of votes.entries()) {
    const key = keyOf(set, replica);
    if (!key) throw new InvalidDocument(`${list}[${at}].replica`, `${replica} is no validator`);
    const message = ["attestation", replica, new Uint8Array(), epoch, header.height, hash];
    if (!(await signs(key, signature, message))) {
      throw new InvalidDocument(`${list}[${at}].signature`, `not validator ${replica}'s of this header`);
    }
  }
}

/**
 * @param {Receipt} receipt
 * @param {string} where
 */
async function checkInclusion({ header, entry, index, path }, where) {
  if (index >= header.size) {
    throw new InvalidDocument(`${where}.index`, `there is no entry ${index} in a log of ${header.size}`);
  }
  const root = await rootFromInclusion(await leafOf(entry), index, header.size, path, `${where}.path`);
  if (hex(root) !== header.root) {
    throw new InvalidDocument(`${where}.entry`, "entry, index and path do not lead to the signed root");
  }
}

/**
 * RFC 9162, section 2.1.3.2. Sizes go up to 2**53, where `>>` would cut them off.
 * @param {Uint8Array} leaf
 * @param {number} index
 * @param {number} size
 * @param {Uint8Array[]} path
 */
export async function rootFromInclusion(leaf, index, size, path, where = "path") {
  let [node, at, last] = [leaf, index, size - 1];
  const up = () => { at = Math.floor(at / 2); last = Math.floor(last / 2); };
  for (const sibling of path) {
    if (last === 0) throw new InvalidDocument(where, "the path is too long");
    if (at % 2 === 1 || at === last) {
      node = await sha256(Uint8Array.of(1), sibling, node);
      while (at % 2 === 0 && at > 0) up();
    } else {
      node = await sha256(Uint8Array.of(1), node, sibling);
    }
    up();
  }
  if (last !== 0) throw new InvalidDocument(where, "the path is too short");
  return node;
}
