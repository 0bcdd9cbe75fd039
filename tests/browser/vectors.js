// Run by browse_reader.py in the page's own origin: what the page's decoder makes of each shared vector, and of mutations of a good message.

import facts from "./facts.js";
import { guaranteeOf } from "./bound.js";
import { Refused, decode } from "./cbor.js";
import { decodeSign1, hex, verify } from "./cose.js";
import { decodeCompact } from "./disclosure.js";
import { feedbackLink } from "./page.js";
import { judgeCopy, judgeLive } from "./verdict.js";

const unhex = (text) => new Uint8Array((text.match(/../g) ?? []).map((byte) => parseInt(byte, 16)));

export async function outcomes({ public_key, vectors }) {
  const found = {};
  for (const { name, message } of vectors) {
    try {
      const read = decodeCompact(await verify(decodeSign1(unhex(message), 700), unhex(public_key)), facts.registry, facts.phrases);
      found[name] = { compact: { unit: read.unit, policy_version: read.version, expires: read.expires, colour: read.colour, elements: read.numbers, organisation: read.organisation, channel: read.channel, where: read.where, digest: hex(read.digest), guarantee: [read.guarantee.scope, read.guarantee.period, read.guarantee.month, read.guarantee.periodS], demo: read.demo } };
    } catch (error) {
      found[name] = { refused_by: error instanceof Refused ? error.layer : `${error}` };
    }
  }
  return found;
}

// Each mutation is one flipped bit, a cut or one more byte, in turn: the number that came out as verified.
export async function mutated(message, count, nowS) {
  const good = unhex(message);
  let verified = 0;
  for (let i = 0; i < count; i++) {
    let bytes = good.slice();
    const bit = (i * 7) % (good.length * 8);
    if (i % 10 === 8) bytes = good.slice(0, (i * 31) % good.length);
    else if (i % 10 === 9) bytes = new Uint8Array([...good, i & 255]);
    else bytes[bit >> 3] ^= 1 << (bit & 7);
    if ((await judgeCopy(bytes, facts, nowS)).verdict !== "cannot") verified++;
  }
  return verified;
}

export const verdict = async (message, nowS) => {
  const { verdict: found, reason } = await judgeCopy(unhex(message), facts, nowS);
  return [found, reason];
};

// What bound.js makes of compiled policies.
export const guarantees = (policies) => policies.map((policy) => Object.values(guaranteeOf(decode(unhex(policy), 32768, 6), facts.people)));

// The same for mutated envelopes, as they come by radio.
export async function mutatedLive(read, count, nowS) {
  const good = Object.fromEntries(Object.entries(read).map(([name, value]) => [name, value && unhex(value)]));
  const names = Object.keys(good).filter((name) => good[name]);
  let verified = 0;
  for (let i = 0; i < count; i++) {
    const name = names[i % names.length];
    let bytes = good[name].slice();
    const bit = (i * 97) % (bytes.length * 8);
    if (i % 10 === 8) bytes = bytes.slice(0, (i * 31) % bytes.length);
    else if (i % 10 === 9) bytes = new Uint8Array([...bytes, i & 255]);
    else bytes[bit >> 3] ^= 1 << (bit & 7);
    if ((await judgeLive({ ...good, [name]: bytes }, facts, nowS)).verdict !== "cannot") verified++;
  }
  return verified;
}

export async function liveVerdict(read, nowS) {
  const { verdict: found, reason } = await judgeLive(Object.fromEntries(Object.entries(read).map(([name, value]) => [name, value && unhex(value)])), facts, nowS);
  return [found, reason];
}

export const links = (cases) => cases.map(([channel, where]) => feedbackLink({ channel, where, city: "c", site: "s", unit: "u", version: 3 }));
