// COSE_Sign1 (RFC 9052) by Ed25519: as agent/wire/cose.py. The signature is checked before the payload is looked at.

import { Refused, decode, encodeList } from "./cbor.js";
import { verifyEd25519 } from "./ed25519.js";

const ALG = 1, CRIT = 2, KID = 4;
const ALGORITHMS = [-8, -19];

export function decodeSign1(message, maxBytes) {
  const item = decode(message, maxBytes);
  if (item === null || typeof item !== "object" || item.tag !== 18 || !Array.isArray(item.value) || item.value.length !== 4) {
    throw new Refused("cose", "no COSE_Sign1");
  }
  const [protectedBytes, unprotected, payload, signature] = item.value;
  if (!(protectedBytes instanceof Uint8Array && unprotected instanceof Map && payload instanceof Uint8Array && signature instanceof Uint8Array)) {
    throw new Refused("cose", "other fields");
  }
  const header = protectedBytes.length ? inner(protectedBytes) : new Map();
  if (header.has(CRIT)) throw new Refused("signature", "a critical parameter");
  for (const label of header.keys()) {
    if (unprotected.has(label)) throw new Refused("cose", "a label in both headers");
  }
  const kid = header.get(KID) ?? unprotected.get(KID);
  return { protectedBytes, header, payload, signature, kid: kid instanceof Uint8Array ? kid : new Uint8Array() };
}

function inner(bytes) {
  const header = decode(bytes, 1024);
  if (!(header instanceof Map)) throw new Refused("cose", "a header that is no map");
  return header;
}

export async function verify(sign1, publicKey) {
  if (!ALGORITHMS.includes(sign1.header.get(ALG)) || sign1.signature.length !== 64) throw new Refused("signature", "another algorithm");
  const isEmptyMap = sign1.protectedBytes.length === 1 && sign1.protectedBytes[0] === 0xa0;
  const signed = encodeList(["Signature1", isEmptyMap ? new Uint8Array() : sign1.protectedBytes, new Uint8Array(), sign1.payload]);
  if (!(await verifyEd25519(publicKey, sign1.signature, signed))) throw new Refused("signature", "it does not match");
  return sign1.payload;
}

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export const same = (one, other) => one.length === other.length && one.every((byte, i) => byte === other[i]);
