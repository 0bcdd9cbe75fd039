// What a signed message says: the compact disclosure (agent/beacon/SPEC.md, BE-28 to BE-33) and the unit's envelope (contracts/public.py).
// Both come out as one shape: {unit, version, expires, colour, numbers, organisation, channel, where, digest (16 bytes), demo, guarantee, …}.

import { decodeGuarantee, guaranteeOf } from "./bound.js";
import { Refused, decode } from "./cbor.js";

const COLOURS = ["yellow", "blue", "white"];
const CHANNELS = ["address", "phone", "email", "url"];
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
const STEERING = /[\x00-\x1f\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200a\u200e\u200f\u2028-\u202f\u205f\u2061-\u206f\u3000\ue000-\uf8ff\ufeff\ufff0-\ufffb\ufffe\uffff\u{e0000}-\u{e00ff}\u{f0000}-\u{10ffff}]/u;
const DAY_S = 86400;

const refuse = (why) => { throw new Refused("compact", why); };
const whole = (n, low, high) => typeof n === "number" && Number.isSafeInteger(n) && n >= low && n <= high;

export function decodeCompact(payload, registry, phrases) {
  let map;
  try {
    map = decode(payload, 700, 3);
  } catch (error) {
    if (error instanceof Refused) refuse(error.why);
    throw error;
  }
  if (!(map instanceof Map)) refuse("no map");
  if (typeof map.get(0) === "number" && map.get(0) !== 1) throw new Refused("compact", "newer");
  if (map.size !== (map.get(9) === true ? 11 : 10)) refuse("other keys");
  const [unit, version, expires, colour, numbers, organisation, feedback, digest] = [1, 2, 3, 4, 5, 6, 7, 8].map((key) => map.get(key));
  if (map.get(0) !== 1) refuse("form");
  if (typeof unit !== "string" || unit.length > 17 || !NAME.test(unit)) refuse("unit");
  if (!whole(version, 1, 2 ** 32 - 1)) refuse("policy version");
  if (!whole(expires, 1, 2 ** 33 - 1)) refuse("expires");
  if (!whole(colour, 0, 2)) refuse("colour");
  if (!(numbers instanceof Uint8Array)) refuse("elements");
  if (!(organisation instanceof Uint8Array)) refuse("organisation");
  if (!Array.isArray(feedback) || feedback.length !== 2 || !whole(feedback[0], 0, 3) || !(feedback[1] instanceof Uint8Array)) refuse("feedback");
  if (!(digest instanceof Uint8Array) || digest.length !== 16) refuse("digest");
  return {
    unit, version, expires, colour: COLOURS[colour], digest, demo: map.has(9),
    guarantee: decodeGuarantee(map.get(10)),
    numbers: elements([...numbers], registry),
    organisation: lengthen(organisation, unit, phrases),
    channel: CHANNELS[feedback[0]],
    where: lengthen(feedback[1], unit, phrases),
  };
}

function elements(numbers, registry) {
  if (numbers.length < 1 || numbers.length > 64 || new Set(numbers).size !== numbers.length) refuse("elements");
  if (numbers.some((n) => n < 1 || n > registry.length)) throw new Refused("compact", "newer");
  const categories = numbers.map((n) => registry[n - 1][1]);
  if (categories.some((category, i) => i && category < categories[i - 1])) refuse("elements out of order");
  if (![0, 1, 2].every((category) => categories.includes(category)) || registry[numbers[0] - 1][0] !== "institution") refuse("elements missing");
  return numbers;
}

export function shorten(text, unit, phrases) {
  const known = [...phrases, [0xc0, unit]].sort((a, b) => [...b[1]].length - [...a[1]].length || a[0] - b[0]);
  const found = [];
  for (let at = 0; at < text.length; ) {
    const phrase = known.find(([, words]) => text.startsWith(words, at));
    if (phrase) found.push(phrase[0]);
    const piece = phrase ? phrase[1] : String.fromCodePoint(text.codePointAt(at));
    if (!phrase) found.push(...new TextEncoder().encode(piece));
    at += piece.length;
  }
  return new Uint8Array(found);
}

export function lengthen(data, unit, phrases) {
  const known = new Map([...phrases, [0xc0, unit]]);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  if (data.length > 480) refuse("text too long");
  let text = "";
  let start = 0;
  for (let at = 0; at <= data.length; at++) {
    const byte = data[at];
    if (at < data.length && byte !== 0xc0 && byte !== 0xc1 && byte < 0xf5) continue;
    try {
      text += decoder.decode(data.subarray(start, at));
    } catch {
      refuse("text that is no UTF-8");
    }
    if (at < data.length) text += known.get(byte) ?? refuse("an unknown phrase");
    start = at + 1;
  }
  const length = [...text].length;
  if (length < 1 || length > 120 || text.startsWith(" ") || text.endsWith(" ") || STEERING.test(text)) refuse("text");
  const again = shorten(text, unit, phrases);
  if (again.length !== data.length || again.some((byte, i) => byte !== data[i])) refuse("text in a long form");
  return text;
}

// The envelope's payload is verified by the caller; `digest` is SHA-256 over the disclosure bytes.
export function decodeEnvelope(payload, registry, people) {
  const map = decode(payload, 3906);
  const size = map instanceof Map ? map.size : 0;
  const bytes = size ? map.get(1) : null;
  const notBefore = size === 3 ? map.get(3) : null;
  if (!(size === 2 || size === 3) || !(bytes instanceof Uint8Array) || !whole(map.get(2), 0, 2 ** 40)) refuse("no envelope");
  if (size === 3 && !whole(notBefore, 0, 2 ** 40)) refuse("not before");
  return { bytes, notBefore, ...decodeDisclosure(bytes, registry, people) };
}

function decodeDisclosure(bytes, registry, people) {
  const map = decode(bytes, 3900, 4);
  if (!(map instanceof Map)) refuse("no disclosure");
  if (typeof map.get(0) === "number" && map.get(0) !== 1) throw new Refused("compact", "newer");
  if (map.size !== 5 || map.get(0) !== 1 || !(map.get(1) instanceof Uint8Array) || !whole(map.get(2), 0, 2) || !Array.isArray(map.get(3))) refuse("no disclosure");
  const policy = decode(map.get(1), 32768, 6);
  const part = (key) => (policy instanceof Map && policy.get(key) instanceof Map ? policy.get(key) : refuse("policy"));
  const line = (value) => (typeof value === "string" && value.length >= 1 && value.length <= 240 && !STEERING.test(value) ? value : refuse("text"));
  const unit = part(4), contact = part(7), dates = part(12);
  const channel = Array.isArray(contact.get(0)) && CHANNELS.includes(contact.get(0)[0]) ? contact.get(0)[0] : refuse("feedback");
  if (!whole(policy.get(1), 1, 2 ** 32 - 1) || !whole(dates.get(2), 1, 2 ** 33 - 1) || typeof policy.get(2) !== "boolean") refuse("policy");
  const numbers = map.get(3).map((element) => {
    if (!Array.isArray(element) || element.length < 3 || element.length > 4) refuse("element");
    const found = registry.findIndex(([id, category, mark]) => id === element[1] && category === element[0] && mark === element[2]);
    if (found < 0) throw new Refused("compact", "newer");
    return found + 1;
  });
  return {
    unit: NAME.test(line(unit.get(2))) ? unit.get(2) : refuse("unit"),
    city: line(unit.get(0)), site: line(unit.get(1)), title: line(unit.get(3)), place: line(part(5).get(0)), precision: line(part(5).get(1)),
    version: policy.get(1), demo: policy.get(2), expires: dates.get(2), colour: COLOURS[map.get(2)],
    guarantee: guaranteeOf(policy, people),
    numbers: elements([...new Set(numbers)], registry),
    organisation: line(part(6).get(0)), channel, where: line(contact.get(1 + CHANNELS.indexOf(channel))),
  };
}

export function decodeStop(payload) {
  const map = decode(payload, 500);
  if (!(map instanceof Map) || map.size !== 3 || typeof map.get(1) !== "string" || !whole(map.get(3), 0, 2 ** 40)) refuse("no stop notice");
  return map.get(1);
}

// RFC 4648 base32, upper case, no padding: the first ten characters are the code that people compare with the sign.
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

export function code(digest) {
  let bits = 0n;
  for (const byte of digest.slice(0, 7)) bits = (bits << 8n) | BigInt(byte);
  let found = "";
  for (let i = 0; i < 10; i++) found += BASE32[Number((bits >> BigInt(56 - 5 * (i + 1))) & 31n)];
  return found;
}

export function fromBase32(text) {
  const clean = text.replace(/=+$/, "");
  if (!/^[A-Z2-7]*$/.test(clean) || clean.length > 2000) refuse("no base32");
  const found = [];
  let bits = 0, held = 0;
  for (const character of clean) {
    held = (held << 5) | BASE32.indexOf(character);
    bits += 5;
    if (bits >= 8) { bits -= 8; found.push((held >> bits) & 255); held &= (1 << bits) - 1; }
  }
  if (bits >= 5 || held) refuse("base32 with bits left over");
  return new Uint8Array(found);
}

export const dayOf = (seconds) => new Date(Math.floor(seconds / DAY_S) * DAY_S * 1000);
