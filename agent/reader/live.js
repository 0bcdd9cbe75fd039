// Reads a unit by Web Bluetooth (agent/beacon/SPEC.md, BE-5 to BE-9). Every step has this page's own time-out: real stacks hang.

import { Refused, decode } from "./cbor.js";
import { same, sha256 } from "./cose.js";

const SERVICE = "57310000-8b84-490a-955e-0bba4fe2f69e";
const STEP_MS = 10000, WHOLE_MS = 45000, TRIES = 3, CHUNK = 500, CHUNKS = 8;

const uuid = (n) => SERVICE.replace("57310000", (0x57310000 + n).toString(16));

export async function available() {
  try {
    return Boolean(navigator.bluetooth) && (await navigator.bluetooth.getAvailability());
  } catch {
    return false;
  }
}

export async function readLive({ stepMs = STEP_MS, wholeMs = WHOLE_MS } = {}) {
  let device;
  try {
    device = await navigator.bluetooth.requestDevice({ filters: [{ services: [SERVICE] }] });
  } catch {
    throw new Refused("cancelled", "no unit chosen");
  }
  try {
    return await within(wholeMs, read(device, stepMs));
  } finally {
    try { device.gatt.disconnect(); } catch { /* it is gone already */ }
  }
}

async function read(device, stepMs) {
  const server = await within(stepMs, device.gatt.connect());
  const service = await within(stepMs, server.getPrimaryService(SERVICE));
  const table = new Map((await within(stepMs, service.getCharacteristics())).map((one) => [one.uuid, one]));
  const value = async (n) => {
    const characteristic = table.get(uuid(n));
    if (!characteristic) throw new Refused("radio", "a characteristic is missing");
    const view = await within(stepMs, characteristic.readValue());
    return new Uint8Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  };
  for (let tries = 0; tries < TRIES; tries++) {
    const envelope = await part(value, 0x01);
    const upcoming = envelope && (await part(value, 0x0a, true));
    if (!envelope || upcoming === undefined) continue;
    const stop = await value(0x13);
    const latest = await part(value, 0x16, true);
    if (latest === undefined) continue;
    const head = await value(0x15);
    return { envelope, upcoming, latest, stop: stop.length ? stop : null, head: head.length ? head : null };
  }
  throw new Refused("radio", "it changes while it is read");
}

// The envelope, null where there is none and may be none, undefined when what was read does not belong together.
async function part(value, first, mayBeEmpty = false) {
  const bytes = await value(first);
  if (!bytes.length && mayBeEmpty) return null;
  const header = decodeHeader(bytes);
  const pieces = [];
  for (let i = 0; i < header.count; i++) {
    const piece = await value(first + 1 + i);
    if (piece.length !== Math.min(CHUNK, header.total - i * CHUNK)) return undefined;
    pieces.push(piece);
  }
  const whole = new Uint8Array(header.total);
  pieces.forEach((piece, i) => whole.set(piece, i * CHUNK));
  return same(await sha256(whole), header.sha256) ? whole : undefined;
}

export function decodeHeader(bytes) {
  const map = decode(bytes, 64, 2);
  if (!(map instanceof Map)) throw new Refused("compact", "no header");
  if (typeof map.get(0) === "number" && map.get(0) !== 1) throw new Refused("compact", "newer");
  const [total, count, sequence, hash] = [1, 2, 3, 4].map((key) => map.get(key));
  const good = map.size === 5 && map.get(0) === 1 && Number.isSafeInteger(total) && total >= 1 && total <= 3906 && count === Math.ceil(total / CHUNK)
    && count <= CHUNKS && Number.isSafeInteger(sequence) && sequence >= 0 && sequence <= 0xffffffff && hash instanceof Uint8Array && hash.length === 32;
  if (!good) throw new Refused("compact", "no header");
  return { total, count, sha256: hash };
}

function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Refused("radio", "time-out")), ms); });
  const told = promise.catch((error) => { throw error instanceof Refused ? error : new Refused("radio", String(error?.name)); });
  return Promise.race([told, late]).finally(() => clearTimeout(timer));
}
