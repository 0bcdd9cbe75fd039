// CBOR as the unit writes it: deterministic (RFC 8949 4.2.1), the same subset as agent/wire/cbor.py and the same refusals.
// Integers up to 2^53 - 1 are numbers, larger ones BigInt; byte strings Uint8Array; maps Map; tag n {tag, value}.

const MAX_DEPTH = 16;

export class Refused extends Error {
  constructor(layer, why) {
    super(`${layer}: ${why}`);
    this.layer = layer;
    this.why = why;
  }
}

export function decode(data, maxBytes, maxDepth = MAX_DEPTH) {
  if (data.length > maxBytes) throw new Refused("cbor", "too long");
  const reader = { data, at: 0 };
  const value = item(reader, maxDepth);
  if (reader.at !== data.length) throw new Refused("cbor", "bytes after the end");
  return value;
}

function take(reader, count) {
  if (count > reader.data.length - reader.at) throw new Refused("cbor", "ends early");
  reader.at += count;
  return reader.data.subarray(reader.at - count, reader.at);
}

function item(reader, depth) {
  if (depth < 1) throw new Refused("cbor", "too deep");
  const first = take(reader, 1)[0];
  const major = first >> 5;
  const low = first & 31;
  if (major === 7) {
    if (low === 20) return false;
    if (low === 21) return true;
    if (low === 22) return null;
    throw new Refused("cbor", "a float or another simple value");
  }
  const n = argument(reader, low);
  switch (major) {
    case 0: return n;
    case 1: return typeof n === "bigint" ? -1n - n : -1 - n;
    case 2: return take(reader, length(n)).slice();
    case 3: return text(take(reader, length(n)));
    case 4: return list(reader, length(n), depth - 1);
    case 5: return map(reader, length(n), depth - 1);
    default:
      return { tag: n, value: item(reader, depth - 1) };
  }
}

function argument(reader, low) {
  if (low < 24) return low;
  if (low > 27) throw new Refused("cbor", "an indefinite or reserved length");
  let n = 0n;
  const width = 1 << (low - 24);
  for (const byte of take(reader, width)) n = (n << 8n) | BigInt(byte);
  const least = width === 1 ? 24n : 1n << BigInt(4 * width);
  if (n < least) throw new Refused("cbor", "a long form");
  return n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n;
}

function length(n) {
  if (typeof n === "bigint") throw new Refused("cbor", "ends early");
  return n;
}

function text(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refused("cbor", "text that is no UTF-8");
  }
}

function list(reader, count, depth) {
  const found = [];
  for (let i = 0; i < count; i++) found.push(item(reader, depth));
  return found;
}

function map(reader, count, depth) {
  const found = new Map();
  let before = null;
  for (let i = 0; i < count; i++) {
    const start = reader.at;
    const key = item(reader, depth);
    const encoded = reader.data.subarray(start, reader.at);
    if (typeof key !== "number" && typeof key !== "string" && typeof key !== "bigint" && !(key instanceof Uint8Array)) {
      throw new Refused("cbor", "a map key of another kind");
    }
    if (before !== null && order(before, encoded) >= 0) throw new Refused("cbor", "unsorted or repeated map keys");
    before = encoded;
    found.set(key, item(reader, depth));
  }
  return found;
}

function order(one, other) {
  for (let i = 0; i < Math.min(one.length, other.length); i++) {
    if (one[i] !== other[i]) return one[i] - other[i];
  }
  return one.length - other.length;
}

// Only what a COSE Sig_structure needs: an array of short text and byte strings.
export function encodeList(parts) {
  const found = [0x80 | parts.length];
  for (const part of parts) {
    const bytes = typeof part === "string" ? new TextEncoder().encode(part) : part;
    const major = typeof part === "string" ? 0x60 : 0x40;
    if (bytes.length < 24) found.push(major | bytes.length);
    else if (bytes.length < 256) found.push(major | 24, bytes.length);
    else found.push(major | 25, bytes.length >> 8, bytes.length & 255);
    for (const byte of bytes) found.push(byte);
  }
  return new Uint8Array(found);
}
