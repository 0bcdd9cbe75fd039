// Run by browse_reader.py in the page's own origin: what the page's decoder makes of each shared vector, and of mutations of a good message.

import facts from "./facts.js";
import { Refused } from "./cbor.js";
import { decodeSign1, hex, verify } from "./cose.js";
import { decodeCompact } from "./disclosure.js";
import { feedbackLink } from "./page.js";
import { judgeCopy } from "./verdict.js";

const unhex = (text) => new Uint8Array((text.match(/../g) ?? []).map((byte) => parseInt(byte, 16)));

export async function outcomes({ public_key, vectors }) {
  const found = {};
  for (const { name, message } of vectors) {
    try {
      const read = decodeCompact(await verify(decodeSign1(unhex(message), 700), unhex(public_key)), facts.registry, facts.phrases);
      found[name] = { compact: { unit: read.unit, policy_version: read.version, expires: read.expires, colour: read.colour, elements: read.numbers, organisation: read.organisation, channel: read.channel, where: read.where, digest: hex(read.digest), demo: read.demo } };
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

export const links = (cases) => cases.map(([channel, where]) => feedbackLink({ channel, where, city: "c", site: "s", unit: "u", version: 3 }));
