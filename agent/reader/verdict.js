// From bytes to a verdict: {verdict: "live" | "copy" | "cannot", reason, shown}. `shown` is null unless the signature of a vouched key holds.

import { Refused } from "./cbor.js";
import { decodeSign1, hex, sha256, verify } from "./cose.js";
import { code, decodeCompact, decodeEnvelope, decodeStop } from "./disclosure.js";
import { HEAD_FRESH_S, openHead } from "./checkpoint.js";
import { decodeLatest } from "./figures.js";

const REASONS = { cbor: "malformed", cose: "malformed", compact: "malformed", signature: "signature", crypto: "no_crypto", radio: "radio", cancelled: "cancelled", key: "unknown_key", unit: "wrong_unit" };

export const cannot = (reason, shown = null) => ({ verdict: "cannot", reason, shown });

export function reasonOf(error) {
  if (error instanceof Refused) return error.why === "newer" ? "newer" : REASONS[error.layer] ?? "malformed";
  return "malformed";
}

export async function judgeCopy(message, facts, nowS) {
  try {
    inDate(facts, nowS);
    const { payload, vouched } = await opened(message, 700, facts);
    const shown = decodeCompact(payload, facts.registry, facts.phrases);
    return judged("copy", belongs({ ...shown, code: code(shown.digest), city: facts.trust.city, site: vouched.site }, vouched), nowS);
  } catch (error) {
    return cannot(reasonOf(error));
  }
}

// `read` is what live.js brought: {envelope, upcoming, stop, head, latest}, all but the first perhaps null (BE-38).
export async function judgeLive(read, facts, nowS) {
  try {
    inDate(facts, nowS);
    const { payload, vouched } = await opened(read.envelope, 3906, facts);
    const shown = belongs(await whole(payload, facts), vouched);
    if (shown.notBefore !== null) throw new Refused("compact", "an upcoming one");
    if (shown.city !== facts.trust.city || shown.site !== vouched.site) throw new Refused("unit", "elsewhere");
    if (read.upcoming) {
      const next = await opened(read.upcoming, 3906, facts);
      const later = belongs(await whole(next.payload, facts), vouched);
      if (later.notBefore !== null) shown.upcoming = { version: later.version, notBefore: later.notBefore };
    }
    if (read.stop) shown.stop = decodeStop((await opened(read.stop, 500, facts, vouched)).payload);
    const path = `${shown.city}/${shown.site}/${shown.unit}`;
    if (read.latest) {
      shown.latest = decodeLatest((await opened(read.latest, 3906, facts, vouched)).payload);
      if (shown.latest.path !== path) throw new Refused("unit", "another's figures");
    }
    if (!read.head) return judged("no_head", shown, nowS);
    shown.head = await openHead(read.head, path, unhex(vouched.key));
    return judged(Math.abs(nowS - shown.head.signedAt) > HEAD_FRESH_S ? "stale_head" : "live", shown, nowS);
  } catch (error) {
    return cannot(reasonOf(error));
  }
}

// A page nobody has renewed since its trust root ended vouches for nobody.
function inDate(facts, nowS) {
  if (nowS >= facts.trust.expires) throw new Refused("key", "the trust root has ended");
}

async function whole(payload, facts) {
  const shown = decodeEnvelope(payload, facts.registry, facts.people);
  return { ...shown, code: code(await sha256(shown.bytes)) };
}

async function opened(message, maxBytes, facts, only = null) {
  const sign1 = decodeSign1(message, maxBytes);
  const kid = hex(sign1.kid);
  const vouched = facts.trust.units.find((unit) => unit.key.slice(0, 16) === kid);
  if (!vouched || (only && vouched !== only)) throw new Refused("key", "unknown");
  return { payload: await verify(sign1, unhex(vouched.key)), vouched };
}

const unhex = (text) => new Uint8Array(text.match(/../g).map((byte) => parseInt(byte, 16)));

function belongs(shown, vouched) {
  if (shown.unit !== vouched.name) throw new Refused("unit", "another");
  return shown;
}

function judged(verdict, shown, nowS) {
  if (nowS >= shown.expires) return cannot("expired", shown);
  return ["live", "copy"].includes(verdict) ? { verdict, reason: null, shown } : cannot(verdict, shown);
}
