// The figures last published (agent/contracts/latest.py): of each stream the newest Release in the log. The caller has verified the signature.

import { Refused, decode } from "./cbor.js";

const PATH = /^[a-z0-9-]{1,32}(?:\/[a-z0-9-]{1,32}){2}$/;
const TEXT = /^[ -~]{0,64}$/;

const refuse = () => { throw new Refused("compact", "figures"); };
const whole = (n, low, high) => typeof n === "number" && n >= low && n < high;

// {path, leftOut, streams: [{stream, start, lengthS, state, cells: [{name, unit, value}]}]}; a value is text, as it is to be shown.
export function decodeLatest(payload) {
  const map = decode(payload, 3906, 7); // a leaf counts as a level here
  if (!(map instanceof Map) || map.get(0) !== 2 || map.size !== 4 || !PATH.test(map.get(1)) || !Array.isArray(map.get(2)) || !whole(map.get(3), 0, 65536)) refuse();
  return { path: map.get(1), leftOut: map.get(3), streams: map.get(2).map(stream) };
}

function stream(item) {
  if (!Array.isArray(item) || item.length !== 6) refuse();
  const [name, start, lengthS, state, version, cells] = item;
  if (!text(name) || !text(state) || !whole(start, 0, 1e10) || !whole(lengthS, 1, 1e10) || !whole(version, 1, 2 ** 32) || !Array.isArray(cells)) refuse();
  return { stream: name, start, lengthS, state, cells: cells.map(cell) };
}

function cell(item) {
  if (!Array.isArray(item) || item.length !== 3 || !text(item[0]) || !text(item[1])) refuse();
  return { name: item[0], unit: item[1], value: value(item[2]) };
}

const text = (one) => typeof one === "string" && TEXT.test(one);
const size = (n) => (typeof n === "number" || typeof n === "bigint") && BigInt(n) < 10n ** 18n && BigInt(n) > -(10n ** 18n);

function value(item) {
  if (text(item)) return item;
  if (size(item)) return String(item);
  if (!Array.isArray(item) || item.length !== 2 || !whole(item[0], -6, 1) || !size(item[1])) refuse();
  const digits = String(item[1]).replace("-", "").padStart(1 - item[0], "0");
  const cut = digits.length + item[0];
  return (String(item[1]).startsWith("-") ? "-" : "") + (item[0] ? `${digits.slice(0, cut)}.${digits.slice(cut)}` : digits);
}
