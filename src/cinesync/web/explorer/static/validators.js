// @ts-check
// The validators of a chain: its genesis, the changes since then, and their signatures.

import { ascii, hex, joined, must, pack, sha256, unhex, unpack, utf8 } from "./bytes.js";
import {
  InvalidDocument, dump, format, hexadecimal, isWhole, listed, load, members, printable, whole,
} from "./strict_json.js";

/**
 * @typedef {{replica: number, key: Uint8Array}} Validator
 * @typedef {{replica: number, signature: Uint8Array}} Vote
 * @typedef {{epoch: number, validators: Validator[]}} ValidatorSet
 * @typedef {{value: Record<string, any>, time: number, validators: Validator[]}} Genesis
 * @typedef {{epoch: number, height: number, digest: Uint8Array, votes: Vote[]}} Proof
 * @typedef {{proof: Proof, height: number, next: ValidatorSet, state: Uint8Array}} Link
 * A link is a change of validators: a state that names the next set, signed by the set before.
 */

export const LINKS_MAX = 64;
export const VALIDATORS_MAX = 256;
export const REPLICA_MAX = 65535;
const GENESIS_BYTES_MAX = 1024 * 1024;
const LINK_DIGITS_MAX = 2 * 256 * 1024;
const VALIDATORS_MIN = 4;
const CLIENTS_MAX = 64;
const NUMBER_MAX = 2 ** 53;
const HALF_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551n >> 1n;
const PBFT_DOMAIN = ascii("cinesync/pbft/1\0");

// genesis

/**
 * The genesis in a file, to pin. Throws InvalidDocument.
 * @param {Uint8Array} bytes
 */
export function loadGenesis(bytes) {
  if (bytes.length > GENESIS_BYTES_MAX) throw new InvalidDocument("genesis", "too large");
  return readGenesis(load(bytes, "genesis"), "genesis");
}

/**
 * The chain's name: the hash of its genesis.
 * @param {Genesis} genesis
 */
export async function chainOf(genesis) {
  return hex(await sha256(ascii("cinesync/genesis/1\0"), utf8(dump(genesis.value))));
}

/**
 * @param {unknown} document
 * @param {string} where
 * @returns {Genesis}
 */
export function readGenesis(document, where) {
  const value = members(document, ["format", "name", "time", "validators", "clients"], where);
  format(value.format, "cinesync-genesis/1", where);
  const found = listed(value.validators, `${where}.validators`, VALIDATORS_MAX);
  if (found.length < VALIDATORS_MIN) {
    throw new InvalidDocument(`${where}.validators`, `fewer than ${VALIDATORS_MIN} tolerate no fault`);
  }
  const validators = found.map((item, at) => readValidator(item, `${where}.validators[${at}]`));
  const clients = listed(value.clients, `${where}.clients`, CLIENTS_MAX);
  const names = clients.map((item, at) => readClient(item, `${where}.clients[${at}]`));
  const replicas = validators.map(({ replica }) => replica);
  if (hasDuplicates(replicas) || hasDuplicates(names)) {
    throw new InvalidDocument(where, "somebody is named twice");
  }
  printable(value.name, `${where}.name`);
  return { value, time: whole(value.time, `${where}.time`), validators };
}

/**
 * @param {unknown} document
 * @param {string} where
 * @returns {Validator}
 */
function readValidator(document, where) {
  const value = members(document, ["replica", "public_key"], where);
  return {
    replica: whole(value.replica, `${where}.replica`, REPLICA_MAX),
    key: hexadecimal(value.public_key, `${where}.public_key`, 65),
  };
}

/**
 * @param {unknown} document
 * @param {string} where
 * @returns {string}
 */
function readClient(document, where) {
  const value = members(document, ["name", "public_key", "operator"], where);
  printable(value.name, `${where}.name`);
  hexadecimal(value.public_key, `${where}.public_key`, 65);
  if (typeof value.operator !== "boolean") {
    throw new InvalidDocument(`${where}.operator`, "neither true nor false");
  }
  return value.name;
}

/** @param {(string | number)[]} values */
const hasDuplicates = (values) => new Set(values).size < values.length;

// links

/**
 * @param {unknown} value
 * @param {string} where
 * @returns {Link}
 */
export function readLink(value, where) {
  if (typeof value !== "string" || [...value].length > LINK_DIGITS_MAX) {
    throw new InvalidDocument(where, `not a text of at most ${LINK_DIGITS_MAX} digits`);
  }
  let link, packed;
  try {
    link = unpack(unhex(value));
    mustBeLink(link);
    packed = hex(pack(link));
  } catch {
    throw new InvalidDocument(where, "not a change of validators");
  }
  if (packed !== value) throw new InvalidDocument(where, "not the canonical encoding");
  const [[, epoch, height, digest, votes], state] = link;
  const vote = (/** @type {any} */ [replica, signature]) => ({ replica, signature });
  const validator = (/** @type {any} */ [replica, key]) => ({ replica, key });
  return {
    proof: { epoch, height, digest, votes: votes.map(vote) },
    height: state[0],
    next: { epoch: state[2][0], validators: state[2][1].map(validator) },
    state: pack(state),
  };
}

/**
 * The set of validators in force after these links, each signed by the set before it.
 * @param {Genesis} genesis
 * @param {Link[]} links
 * @param {string} where
 */
export async function checkLinks(genesis, links, where) {
  let current = { epoch: 0, validators: genesis.validators };
  for (const [at, link] of links.entries()) {
    if (!(await isNext(current, link))) {
      throw new InvalidDocument(`${where}[${at}]`, "not signed by a quorum of the validators before");
    }
    current = link.next;
  }
  return current;
}

/**
 * @param {ValidatorSet} current
 * @param {Link} link
 */
async function isNext(current, { proof, height, next, state }) {
  const digest = await sha256(PBFT_DOMAIN, state);
  const isOfState = proof.height === height && hex(proof.digest) === hex(digest);
  const follows = proof.epoch === current.epoch && next.epoch === proof.epoch + 1;
  const enough = proof.votes.length >= quorum(current.validators.length) && isRising(proof.votes);
  if (!isOfState || !follows || !enough) return false;
  const checks = proof.votes.map(({ replica, signature }) => signs(
    keyOf(current, replica), signature,
    ["checkpoint", replica, new Uint8Array(), proof.epoch, proof.height, proof.digest],
  ));
  return (await Promise.all(checks)).every(Boolean);
}

// signatures

/** @param {number} n how many validators there are */
export function quorum(n) {
  return Math.floor((n + Math.floor((n - 1) / 3)) / 2) + 1;
}

/**
 * @param {ValidatorSet} set
 * @param {number} replica
 */
export function keyOf({ validators }, replica) {
  return validators.filter((one) => one.replica === replica).at(-1)?.key;
}

/** @param {Vote[]} votes */
export const isRising = (votes) =>
  votes.every(({ replica }, at) => at === 0 || replica > votes[at - 1].replica);

/**
 * @param {Uint8Array | undefined} key
 * @param {Uint8Array} signature
 * @param {import("./bytes.js").Packable} message
 */
export async function signs(key, signature, message) {
  if (!key || key.length !== 65 || signature.length !== 64) return false;
  // Each signature has a second valid encoding; only the one with the lower s counts.
  if (BigInt(`0x${hex(signature.slice(32))}`) > HALF_ORDER) return false;
  const curve = { name: "ECDSA", namedCurve: "P-256" };
  let point;
  try {
    point = await crypto.subtle.importKey("raw", joined(key), curve, false, ["verify"]);
  } catch {
    return false;
  }
  const signed = joined(PBFT_DOMAIN, pack(message));
  return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, point, joined(signature), signed);
}

// the structure of a link

/**
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 */
const isBytes = (value, least, most) =>
  value instanceof Uint8Array && value.length >= least && value.length <= most;

/** @param {unknown} value */
const isName = (value) => typeof value === "string" && value.length >= 1 && [...value].length <= 64;

/**
 * @param {unknown} value
 * @param {number} length
 */
const isTuple = (value, length) => Array.isArray(value) && value.length === length;

/**
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 */
const isList = (value, least, most) =>
  Array.isArray(value) && value.length >= least && value.length <= most;

/** @param {any} link */
function mustBeLink(link) {
  must(isTuple(link, 2) && isTuple(link[0], 5) && isTuple(link[1], 7));
  const [[tag, epoch, height, digest, votes], state] = link;
  must(tag === "stableproof" && isWhole(epoch, NUMBER_MAX) && isWhole(height, NUMBER_MAX));
  must(isBytes(digest, 32, 32) && isList(votes, 0, VALIDATORS_MAX));
  for (const vote of votes) {
    must(isTuple(vote, 2) && isWhole(vote[0], REPLICA_MAX) && isBytes(vote[1], 0, 128));
  }
  const [top, time, configuration, change, sessions, manifest, chunks] = state;
  must(isWhole(top, NUMBER_MAX) && isWhole(time, NUMBER_MAX) && isWhole(chunks, 2 ** 32));
  must(isBytes(sessions, 32, 32) && isBytes(manifest, 0, 65536));
  mustBeConfiguration(configuration);
  if (change === null) return;
  must(isTuple(change, 2) && isWhole(change[0], NUMBER_MAX));
  mustBeConfiguration(change[1]);
}

/** @param {any} value */
function mustBeConfiguration(value) {
  must(isTuple(value, 3) && isWhole(value[0], NUMBER_MAX));
  must(isList(value[1], 1, VALIDATORS_MAX) && isList(value[2], 0, CLIENTS_MAX));
  for (const one of value[1]) {
    must(isTuple(one, 2) && isWhole(one[0], REPLICA_MAX) && isBytes(one[1], 1, 256));
  }
  for (const one of value[2]) {
    must(isTuple(one, 3) && isName(one[0]) && isBytes(one[1], 1, 256) && typeof one[2] === "boolean");
  }
}
