// Is this a good receipt? The rules of `cinesync verify`, for browsers: WebCrypto, no network.
//
// `verify(bytes, pinned)` answers with the receipt, every part of it checked, or throws Invalid,
// whose message says in one line where it is wrong and what is wrong there. The order of the
// checks and the words are those of the Python code, so that both can be tested against each other.

import { ascii, hex, joined, must, pack, sha256, unhex, unpack, utf8 } from "./bytes.js";

const FORMAT = "cinesync-receipt/1";
const RECEIPT_BYTES_MAX = 1024 * 1024;
const LINKS_MAX = 64;
const LINK_DIGITS_MAX = 2 * 256 * 1024;
const PATH_MAX = 64;
const DEPTH_MAX = 16;
const VALIDATORS_MIN = 4;
const VALIDATORS_MAX = 256;
const CLIENTS_MAX = 64;
const REPLICA_MAX = 65535;
const NUMBER_MAX = 2 ** 53;
const HALF_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551n >> 1n;

export const SIGNED_MEMBERS = ["format", "genesis", "links", "header", "certificate"];
const MEMBERS = [...SIGNED_MEMBERS, "entry", "index", "path"];
const ENTRY_MEMBERS = ["booking_id", "commitments", "event_id", "facts", "format", "kind", "time"];
const HEADER_NUMBERS = ["height", "time", "size"];
const HEADER_DIGESTS = ["chain", "previous", "entries_root", "root", "map_root", "validators"];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NAME = /^[a-z][a-z0-9_.]{0,63}$/;
const PRINTABLE = /^(?: |[^\p{C}\p{Z}])+$/u;

export class Invalid extends Error {
  constructor(where, what) {
    super(`${where}: ${what}`);
    this.where = where;
    this.what = what;
  }
}

export async function verify(bytes, pinned = null) {
  return verifyValue(parsed(bytes, "receipt"), pinned, "receipt");
}

/** The JSON in a file of this kind. */
export function parsed(bytes, where) {
  if (bytes.length > RECEIPT_BYTES_MAX) {
    throw new Invalid(where, `larger than ${RECEIPT_BYTES_MAX} bytes`);
  }
  return load(bytes, where);
}

/** The same of JSON that was parsed already. */
export async function verifyValue(value, pinned, where) {
  const receipt = readReceipt(value, where);
  await checkSigned(receipt, pinned, where);
  await checkInclusion(receipt, where);
  return receipt;
}

/** That a quorum of the validators in force signed the header. */
export async function checkSigned(found, pinned, where) {
  await checkChain(found, pinned, where);
  const validators = await checkLinks(found.genesis, found.links, `${where}.links`);
  await checkSignatures(found, validators, where);
}

/** What validators sign of a header. */
export async function hashOf(header) {
  return sha256(ascii("cinesync/header/2\0"), utf8(dump(header)));
}

/** The genesis in these bytes, to pin. Throws Invalid. */
export function loadGenesis(bytes) {
  if (bytes.length > RECEIPT_BYTES_MAX) throw new Invalid("genesis", "too large");
  return readGenesis(load(bytes, "genesis"), "genesis");
}

/** The chain's name: what a receipt's genesis must hash to. */
export async function chainOf(genesis) {
  return hex(await sha256(ascii("cinesync/genesis/1\0"), utf8(dump(genesis.value))));
}

// canonical JSON (RFC 8785), with whole numbers only

export function load(bytes, where) {
  let text, value;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Invalid(where, "not UTF-8");
  }
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Invalid(where, error.message.replaceAll(/\s+/g, " "));
  }
  const spelled = dump(value, where);
  if (spelled !== text) {
    const at = utf8(text.slice(0, difference(spelled, text))).length;
    throw new Invalid(where, `byte ${at}: not canonical JSON (RFC 8785)`);
  }
  return value;
}

function dump(value, where = "value", depth = 0) {
  if (depth > DEPTH_MAX) throw new Invalid(where, "nested too deeply");
  if (typeof value === "number" && !Number.isInteger(value)) {
    throw new Invalid(where, `${value} is not a whole number`);
  }
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new Invalid(where, `${value} is not exact everywhere`);
  }
  if (typeof value === "string") return quoted(value, where);
  if (Array.isArray(value)) {
    return `[${value.map((item) => dump(item, where, depth + 1)).join(",")}]`;
  }
  if (isObject(value)) {
    const pair = (name) => `${quoted(name, where)}:${dump(value[name], where, depth + 1)}`;
    return `{${Object.keys(value).sort().map(pair).join(",")}}`;  // by UTF-16 code units
  }
  return JSON.stringify(value);
}

function quoted(text, where) {
  // JSON.stringify would escape half a pair, which is well-formed JSON, but no text.
  if (/\p{Surrogate}/u.test(text)) throw new Invalid(where, "half a surrogate pair is no text");
  return JSON.stringify(text);
}

function difference(one, other) {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  return at;
}

// shapes: exactly these members, exactly these spellings

export function members(value, names, where) {
  if (!isObject(value)) throw new Invalid(where, "not an object");
  for (const name of names) {
    if (!Object.hasOwn(value, name)) throw new Invalid(where, `member "${name}" is missing`);
  }
  for (const name of Object.keys(value).sort()) {
    if (!names.includes(name)) throw new Invalid(where, `member '${shown(name)}' is unknown`);
  }
  return value;
}

export function whole(value, where, most = Number.MAX_SAFE_INTEGER) {
  if (!isWhole(value, most)) throw new Invalid(where, `not a whole number from 0 to ${most}`);
  return value;
}

export function hexadecimal(value, where, size = 32) {
  if (typeof value !== "string" || [...value].length !== 2 * size) {
    throw new Invalid(where, `not ${2 * size} hexadecimal digits`);
  }
  if (!isHex(value)) throw new Invalid(where, `not ${2 * size} lower-case hexadecimal digits`);
  return unhex(value);
}

export function listed(value, where, most) {
  if (!Array.isArray(value) || value.length > most) {
    throw new Invalid(where, `not a list of at most ${most}`);
  }
  return value;
}

function printable(value, where, most = 64) {
  if (typeof value !== "string" || [...value].length > most || !PRINTABLE.test(value)) {
    throw new Invalid(where, `not a printable text of 1 to ${most} characters`);
  }
  return value;
}

export function format(value, wanted, where) {
  if (value !== wanted) throw new Invalid(`${where}.format`, `not ${wanted}`);
}

// what a receipt is made of

function readReceipt(value, where) {
  members(value, MEMBERS, where);
  format(value.format, FORMAT, where);
  readEntry(value.entry, `${where}.entry`);
  const signed = readSigned(value, where);
  listed(value.path, `${where}.path`, PATH_MAX);
  return {
    ...signed,
    entry: value.entry,
    index: whole(value.index, `${where}.index`),
    path: value.path.map((node, at) => hexadecimal(node, `${where}.path[${at}]`)),
  };
}

/** A header, and all it takes to see that a quorum signed it. */
export function readSigned(value, where) {
  listed(value.links, `${where}.links`, LINKS_MAX);
  return {
    genesis: readGenesis(value.genesis, `${where}.genesis`),
    links: value.links.map((item, at) => readLink(item, `${where}.links[${at}]`)),
    header: readHeader(value.header, `${where}.header`),
    certificate: readCertificate(value.certificate, `${where}.certificate`),
  };
}

export function readEntry(value, where) {
  const refuse = (what) => { throw new Invalid(where, what); };
  if (!isObject(value) || value.format !== "cinesync-entry/1") refuse("not a cinesync-entry/1");
  members(value, ENTRY_MEMBERS, where);
  for (const name of ["event_id", "booking_id"]) {
    if (!isLike(UUID, value[name])) refuse(`${name} is not a UUID`);
  }
  if (!isLike(NAME, value.kind)) refuse("kind is not a name");
  if (!isWhole(value.time)) refuse("time is not microseconds since 1970");
  if (!isMap(value.facts, isFact)) refuse("facts are not names with simple values");
  if (!isMap(value.commitments, isDigest)) refuse("commitments are not names with digests");
}

function readGenesis(value, where) {
  members(value, ["format", "name", "time", "validators", "clients"], where);
  format(value.format, "cinesync-genesis/1", where);
  const found = listed(value.validators, `${where}.validators`, VALIDATORS_MAX);
  if (found.length < VALIDATORS_MIN) {
    throw new Invalid(`${where}.validators`, `fewer than ${VALIDATORS_MIN} tolerate no fault`);
  }
  const validators = found.map((item, at) => readValidator(item, `${where}.validators[${at}]`));
  const clients = listed(value.clients, `${where}.clients`, CLIENTS_MAX);
  const names = clients.map((item, at) => readClient(item, `${where}.clients[${at}]`));
  const replicas = validators.map(({ replica }) => replica);
  if (hasTwins(replicas) || hasTwins(names)) throw new Invalid(where, "somebody is named twice");
  printable(value.name, `${where}.name`);
  return { value, time: whole(value.time, `${where}.time`), validators };
}

function readValidator(value, where) {
  members(value, ["replica", "public_key"], where);
  return {
    replica: whole(value.replica, `${where}.replica`, REPLICA_MAX),
    key: hexadecimal(value.public_key, `${where}.public_key`, 65),
  };
}

function readClient(value, where) {
  members(value, ["name", "public_key", "operator"], where);
  printable(value.name, `${where}.name`);
  hexadecimal(value.public_key, `${where}.public_key`, 65);
  if (typeof value.operator !== "boolean") {
    throw new Invalid(`${where}.operator`, "neither true nor false");
  }
  return value.name;
}

function readHeader(value, where) {
  members(value, ["format", ...HEADER_NUMBERS, ...HEADER_DIGESTS], where);
  format(value.format, "cinesync-header/2", where);
  for (const name of HEADER_NUMBERS) whole(value[name], `${where}.${name}`);
  for (const name of HEADER_DIGESTS) hexadecimal(value[name], `${where}.${name}`);
  return value;
}

function readCertificate(value, where) {
  members(value, ["epoch", "signatures"], where);
  const found = listed(value.signatures, `${where}.signatures`, VALIDATORS_MAX);
  const votes = found.map((item, at) => readVote(item, `${where}.signatures[${at}]`));
  if (!isRising(votes)) throw new Invalid(`${where}.signatures`, "not one each, in rising order");
  return { epoch: whole(value.epoch, `${where}.epoch`), votes };
}

function readVote(value, where) {
  members(value, ["replica", "signature"], where);
  return {
    replica: whole(value.replica, `${where}.replica`, REPLICA_MAX),
    signature: hexadecimal(value.signature, `${where}.signature`, 64),
  };
}

// does it all fit together?

async function checkChain({ genesis, header }, pinned, where) {
  const chain = await chainOf(genesis);
  if (pinned !== null && chain !== (await chainOf(pinned))) {
    throw new Invalid(`${where}.genesis`, "not the pinned genesis: this is another chain");
  }
  if (header.chain !== chain) throw new Invalid(`${where}.header.chain`, "not the hash of the genesis");
  if (header.time < genesis.time) throw new Invalid(`${where}.header.time`, "before the genesis");
}

/** The set of validators that the links lead to: each signed by the set before it. */
async function checkLinks(genesis, links, where) {
  let current = { epoch: 0, validators: genesis.validators };
  for (const [at, link] of links.entries()) {
    if (!(await isNext(current, link))) {
      throw new Invalid(`${where}[${at}]`, "not signed by a quorum of the validators before");
    }
    current = link.next;
  }
  return current;
}

async function isNext(current, { proof, height, next, state }) {
  const digest = await sha256(PBFT_DOMAIN, state);
  const named = proof.height === height && hex(proof.digest) === hex(digest);
  const follows = proof.epoch === current.epoch && next.epoch === proof.epoch + 1;
  const enough = proof.votes.length >= quorum(current.validators.length) && isRising(proof.votes);
  if (!named || !follows || !enough) return false;
  const words = proof.votes.map(({ replica, signature }) => signs(
    keyOf(current, replica), signature,
    ["checkpoint", replica, new Uint8Array(), proof.epoch, proof.height, proof.digest],
  ));
  return (await Promise.all(words)).every(Boolean);
}

async function checkSignatures({ header, certificate }, { epoch, validators }, where) {
  const named = validators.map(({ replica, key }) => ({ public_key: hex(key), replica }));
  const set = await sha256(ascii("cinesync/validators/1\0"), utf8(dump({ epoch, validators: named })));
  if (header.validators !== hex(set)) {
    throw new Invalid(`${where}.header.validators`, "not the hash of the validators in force");
  }
  if (certificate.epoch !== epoch) throw new Invalid(`${where}.certificate.epoch`, `not ${epoch}`);
  const [votes, needed] = [certificate.votes, quorum(validators.length)];
  where = `${where}.certificate.signatures`;
  if (votes.length < needed) {
    throw new Invalid(where, `${votes.length} of the ${needed} that a quorum needs`);
  }
  const hash = await hashOf(header);
  for (const [at, { replica, signature }] of votes.entries()) {
    const key = keyOf({ validators }, replica);
    if (!key) throw new Invalid(`${where}[${at}].replica`, `${replica} is no validator`);
    const word = ["attestation", replica, new Uint8Array(), epoch, header.height, hash];
    if (!(await signs(key, signature, word))) {
      throw new Invalid(`${where}[${at}].signature`, `not validator ${replica}'s of this header`);
    }
  }
}

/** The log's leaf hash of an entry. */
export const leafOf = (entry) => sha256(Uint8Array.of(0), utf8(dump(entry)));

async function checkInclusion({ header, entry, index, path }, where) {
  if (index >= header.size) {
    throw new Invalid(`${where}.index`, `there is no entry ${index} in a log of ${header.size}`);
  }
  const root = await rootFromInclusion(await leafOf(entry), index, header.size, path, `${where}.path`);
  if (hex(root) !== header.root) {
    throw new Invalid(`${where}.entry`, "entry, index and path do not lead to the signed root");
  }
}

/** RFC 9162, section 2.1.3.2. Sizes go up to 2**53, where `>>` would cut them off. */
export async function rootFromInclusion(leaf, index, size, path, where = "path") {
  let [node, at, last] = [leaf, index, size - 1];
  const up = () => { at = Math.floor(at / 2); last = Math.floor(last / 2); };
  for (const sibling of path) {
    if (last === 0) throw new Invalid(where, "the path is too long");
    if (at % 2 === 1 || at === last) {
      node = await sha256(Uint8Array.of(1), sibling, node);
      while (at % 2 === 0 && at > 0) up();
    } else {
      node = await sha256(Uint8Array.of(1), node, sibling);
    }
    up();
  }
  if (last !== 0) throw new Invalid(where, "the path is too short");
  return node;
}

async function signs(key, signature, word) {
  if (!key || key.length !== 65 || signature.length !== 64) return false;
  if (BigInt(`0x${hex(signature.slice(32))}`) > HALF_ORDER) return false;  // its other spelling
  const curve = { name: "ECDSA", namedCurve: "P-256" };
  let point;
  try {
    point = await crypto.subtle.importKey("raw", key, curve, false, ["verify"]);
  } catch {
    return false;
  }
  const payload = joined(PBFT_DOMAIN, pack(word));
  return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, point, signature, payload);
}

function quorum(n) {
  return Math.floor((n + Math.floor((n - 1) / 3)) / 2) + 1;
}

function keyOf({ validators }, replica) {
  return validators.findLast((one) => one.replica === replica)?.key;
}

// changes of validators: MessagePack, in its one spelling

const PBFT_DOMAIN = ascii("cinesync/pbft/1\0");

function readLink(value, where) {
  if (typeof value !== "string" || [...value].length > LINK_DIGITS_MAX) {
    throw new Invalid(where, `not a text of at most ${LINK_DIGITS_MAX} digits`);
  }
  let link, packed;
  try {
    link = unpack(unhex(value));
    shapeLink(link);
    packed = hex(pack(link));
  } catch {
    throw new Invalid(where, "not a change of validators");
  }
  if (packed !== value) throw new Invalid(where, "not the canonical encoding");
  const [[, epoch, height, digest, votes], state] = link;
  const proof = { epoch, height, digest, votes: votes.map(([replica, signature]) => ({ replica, signature })) };
  const next = { epoch: state[2][0], validators: state[2][1].map(([replica, key]) => ({ replica, key })) };
  return { proof, height: state[0], next, state: pack(state) };
}

const isBytes = (value, least, most) =>
  value instanceof Uint8Array && value.length >= least && value.length <= most;
const isName = (value) =>
  typeof value === "string" && value.length >= 1 && [...value].length <= 64;
const isTuple = (value, length) => Array.isArray(value) && value.length === length;
const isList = (value, least, most) =>
  Array.isArray(value) && value.length >= least && value.length <= most;

function shapeLink(link) {
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
  shapeConfiguration(configuration);
  if (change === null) return;
  must(isTuple(change, 2) && isWhole(change[0], NUMBER_MAX));
  shapeConfiguration(change[1]);
}

function shapeConfiguration(value) {
  must(isTuple(value, 3) && isWhole(value[0], NUMBER_MAX));
  must(isList(value[1], 1, VALIDATORS_MAX) && isList(value[2], 0, CLIENTS_MAX));
  for (const one of value[1]) {
    must(isTuple(one, 2) && isWhole(one[0], REPLICA_MAX) && isBytes(one[1], 1, 256));
  }
  for (const one of value[2]) {
    must(isTuple(one, 3) && isName(one[0]) && isBytes(one[1], 1, 256) && typeof one[2] === "boolean");
  }
}

// small questions

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isWhole = (value, most = Number.MAX_SAFE_INTEGER) =>
  Number.isInteger(value) && value >= 0 && value <= most;
export const isId = (value) => isLike(UUID, value);
const isHex = (value) => /^(?:[0-9a-f]{2})*$/.test(value);
const isDigest = (value) => typeof value === "string" && value.length === 64 && isHex(value);
const isLike = (pattern, value) => typeof value === "string" && pattern.test(value);
const isMap = (value, isFine) => isObject(value)
  && Object.entries(value).every(([name, item]) => NAME.test(name) && isFine(item));
const isFact = (value) => value === null || ["boolean", "number", "string"].includes(typeof value)
  || (Array.isArray(value) && value.every((item) => typeof item === "string"));
const hasTwins = (values) => new Set(values).size < values.length;
const isRising = (votes) =>
  votes.every(({ replica }, at) => at === 0 || replica > votes[at - 1].replica);
const shown = (name) => [...name].slice(0, 40).join("");
