// A tree head as a signed note (C2SP signed-note and tlog-checkpoint; agent/wire/tlog.py): when the unit last said that its log stands so.

import { Refused } from "./cbor.js";
import { same, sha256 } from "./cose.js";
import { verifyEd25519 } from "./ed25519.js";

export const HEAD_FRESH_S = 300;
const MAX_NOTE_BYTES = 4096;

const refuse = (why) => { throw new Refused("cose", why); };

// {size, signedAt}; refused unless `name`'s key signed it, the origin is `name`, and it has one line "time N".
export async function openHead(note, name, publicKey) {
  if (note.length > MAX_NOTE_BYTES) refuse("a note too long");
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(note);
  } catch {
    refuse("a note that is no UTF-8");
  }
  const end = text.indexOf("\n\n");
  if (end < 0 || !text.endsWith("\n")) refuse("no signed note");
  const body = text.slice(0, end + 1);
  const [origin, size, root, ...extensions] = text.slice(0, end).split("\n");
  if (!/^(0|[1-9][0-9]{0,15})$/.test(size ?? "") || unbase64(root ?? "").length !== 32) refuse("no checkpoint");
  const hint = (await sha256(new Uint8Array([...new TextEncoder().encode(name), 0x0a, 0x01, ...publicKey]))).slice(0, 4);
  const signatures = text.slice(end + 2, -1).split("\n").map((line) => {
    const [dash, signer, blob, ...more] = line.split(" ");
    if (dash !== "\u2014" || !signer || !blob || more.length) refuse("no signature line");
    return { signer, bytes: unbase64(blob) };
  });
  const mine = signatures.find(({ signer, bytes }) => signer === name && same(bytes.slice(0, 4), hint));
  if (!mine || mine.bytes.length !== 68 || !(await verifyEd25519(publicKey, mine.bytes.slice(4), new TextEncoder().encode(body)))) {
    throw new Refused("signature", "the tree head's");
  }
  if (origin !== name) throw new Refused("unit", "another's tree head");
  const times = extensions.filter((line) => line.startsWith("time "));
  if (times.length !== 1 || !/^time [0-9]{1,12}$/.test(times[0])) refuse("no time");
  return { size: Number(size), signedAt: Number(times[0].slice(5)) };
}

// Base64 in its one encoding.
function unbase64(text) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    refuse("no base64");
  }
  if (btoa(String.fromCharCode(...bytes)) !== text) refuse("base64 in another form");
  return bytes;
}
