// "Right at most N times in 100", worked out from the signed policy itself: agent/disclosure/bound.py and presence.py in exact fractions.
// Every result is rounded towards the weaker claim, as there; tests/browser compares the two.

import { Refused } from "./cbor.js";

const DAY_S = 86400, MONTH_S = 30n * 86400n, GRID = 10000n, DRAW = 2n ** 160n;
export const SCOPES = { all: 0, noisy: 1, noisyOnly: 2, none: 3, nobody: 4 };

const gcd = (a, b) => { while (b) [a, b] = [b, a % b]; return a < 0n ? -a : a; };
const q = (n, d = 1n) => { const by = gcd(n, d) || 1n; return d < 0n ? [-n / by, -d / by] : [n / by, d / by]; };
const add = (a, b) => q(a[0] * b[1] + b[0] * a[1], a[1] * b[1]);
const sub = (a, b) => add(a, [-b[0], b[1]]);
const mul = (a, b) => q(a[0] * b[0], a[1] * b[1]);
const div = (a, b) => q(a[0] * b[1], a[1] * b[0]);
const less = (a, b) => a[0] * b[1] < b[0] * a[1];
const least2 = (a, b) => (less(b, a) ? b : a);
const ceil = (n, d) => -(-n / d) + (n % d > 0n ? 1n : 0n);
const down64 = (a) => q((a[0] << 64n) / a[1], 1n << 64n);
const PI_LOW = q(3141592653n, 10n ** 9n);
const SPLITS = [[1n, 2n], [5n, 8n], [3n, 4n], [1n, 1n], [5n, 4n], [3n, 2n]];

export function rightIn100(variation) {
  const [n, d] = add([50n, 1n], mul([50n, 1n], variation));
  return Number(ceil(n, d));
}

// noises: [{rho, variance (null unless independent discrete Gaussians), cells}]
export function totalVariation(noises, periods = 1n) {
  const parts = noises.filter((one) => one.rho[0] > 0n);
  const rho = mul(q(periods), parts.reduce((sum, one) => add(sum, one.rho), q(0n)));
  const cells = periods * parts.reduce((sum, one) => sum + one.cells, 0n);
  const found = zcdp(rho, q(2n * cells, DRAW));
  if (!parts.length || parts.some((one) => one.variance === null)) return found;
  return least2(found, gaussian(rho, parts.map((one) => one.variance).reduce(least2), cells));
}

const zcdp = (rho, rest) => least((sum) => !less(sum, rest) && !less(coin(sub(sum, rest)), rho));

function gaussian(rho, variance, cells) {
  let best = q(1n);
  for (const split of SPLITS) {
    if (!less(split, variance)) continue;
    const mu = div(mul(mul(q(2n), rho), variance), sub(variance, split));
    const rest = add(mul(q(4n * cells), ripple(split)), q(2n * cells, DRAW));
    if (less(mu, q(64n)) && less(rest, q(1n))) best = least2(best, normal(mu, rest));
  }
  return best;
}

function coin(t) {
  return mul(t, logLow(div(add(q(1n), t), sub(q(1n), t))));
}

function normal(muSquared, rest) {
  const square = q(ceil(muSquared[0] << 32n, muSquared[1]), 1n << 35n);
  let total = q(0n), term = q(1n), index = 0n;
  for (;;) {
    const part = div(term, q(2n * index + 1n));
    total = index % 2n === 0n ? add(total, part) : sub(total, part);
    if (index % 2n === 0n && less(square, q(index)) && less(mul(term, q(GRID * GRID)), q(1n))) break;
    index += 1n;
    term = div(mul(term, square), q(index));
  }
  const limit = mul(mul(div(q(4n), PI_LOW), square), mul(total, total));
  return least((t) => !less(t, rest) && !less(mul(sub(t, rest), sub(t, rest)), limit));
}

function logLow(value) {
  let doublings = 0n;
  while (!less(value, q(2n))) { value = div(value, q(2n)); doublings += 1n; }
  return add(logSeries(value), mul(q(doublings), logSeries(q(2n))));
}

function logSeries(value) {
  const u = down64(div(sub(value, q(1n)), add(value, q(1n))));
  let sum = q(0n), power = u;
  for (let i = 0n; i < 10n; i++) { sum = add(sum, div(power, q(2n * i + 1n))); power = mul(power, mul(u, u)); }
  return mul(q(2n), sum);
}

function ripple(split) {
  const y = mul(mul(q(2n), mul(PI_LOW, PI_LOW)), split);
  let term = q(1n), total = q(1n);
  for (let index = 1n; index < 80n; index++) { term = down64(div(mul(term, y), q(index))); total = add(total, term); }
  return div(q(2n), sub(total, q(1n)));
}

function least(reached) {
  let low = 0n, high = GRID;
  while (low < high) {
    const middle = (low + high) / 2n;
    if (reached(q(middle, GRID))) high = middle; else low = middle + 1n;
  }
  return q(low, GRID);
}

// A compiled policy (agent/policy/compile.py) -> {scope, period, month, periodS}. `people` are the quantities that people cause.
export function guaranteeOf(policy, people) {
  const refuse = () => { throw new Refused("compact", "a policy's privacy"); };
  const count = (value, high = 2 ** 40) => (Number.isSafeInteger(value) && value >= 1 && value <= high ? BigInt(value) : refuse());
  const exact = (pair) => (Array.isArray(pair) && pair.length === 2 && [...pair].every((one) => ["number", "bigint"].includes(typeof one)) && pair[1] > 0 ? q(BigInt(pair[0]), BigInt(pair[1])) : refuse());
  const budget = policy.get(13), streams = policy.get(14);
  if (!(budget instanceof Map) || !Array.isArray(streams) || !streams.length || streams.length > 64) refuse();
  const periodS = Number(count(budget.get(0)));
  const noises = [];
  let open = false, apart = false;
  for (const stream of streams) {
    const privacy = stream instanceof Map ? stream.get(7) : null;
    if (!(privacy instanceof Map)) refuse();
    if (privacy.get(0) !== "dp") {
      const caused = stream.get(2) !== "scalar" || people.includes(stream.get(10));
      open ||= caused;
      apart ||= !caused;
      continue;
    }
    const m = count(privacy.get(2));
    if (stream.get(2) === "unique") {
      const epsilon = exact(privacy.get(7));
      noises.push({ rho: mul(q(m, 2n), mul(epsilon, epsilon)), variance: null, cells: m });
      continue;
    }
    const rho = exact(privacy.get(1)), c = count(privacy.get(3));
    if (rho[0] <= 0n) refuse();
    if (privacy.get(15) === "period") {
      const windows = BigInt(periodS) / count(stream.get(4));
      noises.push({ rho, variance: null, cells: 2n * windows * count(stream.get(8)?.length, 1000) });
      continue;
    }
    const worst = (m / c) * c * c + (m % c) * (m % c);
    const part = privacy.has(17) ? exact(privacy.get(17)) : q(0n);
    if (part[0] < 0n || !less(part, rho)) refuse();
    let variance = div(q(worst), mul(q(2n), sub(rho, part)));
    if (stream.get(2) === "scalar") {
      const span = div(sub(exact(privacy.get(10)), exact(privacy.get(9))), exact(privacy.get(11)));
      variance = mul(variance, mul(span, span));
    }
    if (part[0] > 0n) { // a sample is in the sum, and changes two cells of the histogram behind the percentiles
      noises.push({ rho, variance: least2(variance, div(q(worst), part)), cells: 3n * m });
      continue;
    }
    noises.push({ rho, variance, cells: m });
  }
  if (!noises.length) return { scope: open ? SCOPES.none : SCOPES.nobody, period: 0, month: 0, periodS: open ? periodS : DAY_S };
  const months = ceil(MONTH_S, BigInt(periodS));
  const scope = open ? SCOPES.noisyOnly : apart ? SCOPES.noisy : SCOPES.all;
  const key = `${months}:${noises.map((one) => `${one.rho},${one.variance},${one.cells}`).join(";")}`;
  if (last.key !== key) last = { key, period: rightIn100(totalVariation(noises)), month: rightIn100(totalVariation(noises, months)) };
  return { scope, period: last.period, month: last.month, periodS };
}

// A unit is read again and again: the same noise has the same bound, which takes a tenth of a second.
let last = { key: null };

// The compact form's [scope, N, N], [scope], with the length of a period where that is no day (BE-42).
export function decodeGuarantee(item) {
  const refuse = () => { throw new Refused("compact", "guarantee"); };
  if (!Array.isArray(item) || !item.every((one) => typeof one === "number" && Number.isSafeInteger(one))) refuse();
  const stated = item[0] >= 0 && item[0] <= 2;
  const [period, month] = stated ? item.slice(1, 3) : [0, 0];
  const rest = item.slice(stated ? 3 : 1);
  if (stated ? !(50 <= period && period <= month && month <= 100) : !(item[0] === 3 || (item[0] === 4 && !rest.length))) refuse();
  if (rest.length > 1 || (rest.length && !(rest[0] >= 1 && rest[0] <= 2 ** 32 - 1 && rest[0] !== DAY_S))) refuse();
  return { scope: item[0], period, month, periodS: rest[0] ?? DAY_S };
}
