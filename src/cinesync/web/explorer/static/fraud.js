// Two good files that exclude each other: a proof that more validators lied than may.

import { hex } from "./bytes.js";
import { FORMAT as ALL, verifyAll, verifyAllValue } from "./completeness.js";
import { Invalid, hashOf, isObject, load, members, verify, verifyValue } from "./verify.js";

const FORMAT = "cinesync-fraud/1";
export const FILE_BYTES_MAX = 2 * 1024 * 1024;

/** What a file proves: {receipt}, {all} entries of a booking, or {fraud} with what contradicts what, and who signed both. */
export async function verifyFile(bytes, pinned) {
  if (bytes.length > FILE_BYTES_MAX) throw new Invalid("file", `larger than ${FILE_BYTES_MAX} bytes`);
  const value = load(bytes, "receipt");
  if (isObject(value) && value.format === ALL) return { all: await verifyAll(bytes, pinned) };
  if (!isObject(value) || value.format !== FORMAT) return { receipt: await verify(bytes, pinned) };
  return { fraud: await verifyFraud(value, pinned) };
}

async function verifyFraud(value, pinned) {
  members(value, ["format", "one", "other"], "fraud");
  const one = await verifySigned(value.one, pinned, "fraud.one");
  const other = await verifySigned(value.other, pinned, "fraud.other");
  const what = await contradiction(one.header, other.header);
  if (!what || one.header.chain !== other.header.chain) {
    throw new Invalid("fraud", "these receipts do not contradict each other");
  }
  const [signers, others] = [one, other].map((each) => each.certificate.votes.map((vote) => vote.replica));
  return { what, liars: signers.filter((replica) => others.includes(replica)) };
}

function verifySigned(value, pinned, where) {
  const isAll = isObject(value) && value.format === ALL;
  return (isAll ? verifyAllValue : verifyValue)(value, pinned, where);
}

async function contradiction(one, other) {
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
