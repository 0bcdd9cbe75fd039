// Draws a verdict. Text goes in by textContent alone: nothing of a disclosure is ever taken for markup.

import { SCOPES } from "./bound.js";
import { hexagon, honeycomb } from "./honeycomb.js";
import { clock, day, duration, node, words } from "./words.js";

const SECTIONS = [["who", [0]], ["why", [1]], ["sensor", [2]], ["numbers", [3, 4]], ["receivers", [5, 6, 7]]];
const CONTEXT = { yellow: "tech.identifiable", blue: "tech.de_identified", white: "tech.non_identifiable" };
const OWN = { organization: "page.vendors", differential_privacy: "page.differential_privacy", values_time: "page.values_time", data_retained: "page.kept" };
const STATES = { suppressed: "page.too_small", not_collected: "page.not_collected" };
const BARE = ["", "1", "/", "count"];

export function drawVerdict(where, result, facts, locale) {
  const say = words(facts, locale);
  where.className = result.verdict;
  if (result.verdict === "busy") return where.replaceChildren(node("p", say("page.busy")));
  if (result.verdict === "cannot") {
    const filled = { day: result.shown ? day(facts, locale, result.shown.expires) : "" };
    const parts = [node("h2", say("page.cannot")), node("p", say(`page.why.${result.reason}`, filled))];
    if (!result.shown && !["cancelled", "radio"].includes(result.reason)) parts.push(node("p", say("page.hidden")));
    return where.replaceChildren(...parts);
  }
  return where.replaceChildren(node("h2", say(`page.${result.verdict}`)), node("p", say(`page.${result.verdict}_words`)));
}

export function drawShown(where, shown, facts, locale) {
  if (!shown) return where.replaceChildren();
  const about = { shown, facts, locale, say: words(facts, locale) };
  const { say } = about;
  const parts = [];
  if (shown.stop !== undefined) parts.push(node("p", say("page.stopped"), { class: "notice" }, node("br"), shown.stop));
  if (shown.upcoming) parts.push(node("p", say("page.upcoming", { n: shown.upcoming.version, day: day(facts, locale, shown.upcoming.notBefore) }), { class: "notice" }));
  parts.push(honeycomb(shown, facts, locale), node("p", say("page.open"), { class: "hint" }));
  for (const [section, categories] of SECTIONS) {
    const lines = section === "who" ? who(about) : [];
    for (const number of shown.numbers) {
      const [id, category, mark] = facts.registry[number - 1];
      if (categories.includes(category) && id !== "institution") lines.push(line(about, say(OWN[id] ?? id), mark, id));
    }
    if (section === "sensor") lines.push(line(about, say(CONTEXT[shown.colour]), 2, CONTEXT[shown.colour], [hexagon(2, shown.colour)]));
    parts.push(part(say(`heading.${section}`), node("ul", "", {}, ...lines)));
    if (section === "numbers") parts.push(protection(about));
  }
  if (shown.latest) parts.push(part(say("page.figures"), ...figures(about)));
  const times = [line(about, say("page.expires", { day: day(facts, locale, shown.expires) }), 1), line(about, say("page.version", { n: shown.version })), line(about, say("page.code", { code: shown.code }))];
  if (shown.head) times.push(line(about, say("page.stamp", { time: clock(shown.head.signedAt), n: shown.head.size })));
  parts.push(part(say("heading.time"), node("ul", "", {}, ...times)));
  parts.push(part(say("heading.ask"), node("ul", "", {}, ask(about))));
  parts.push(part(say("heading.not_done"), node("ul", "", {}, ...["not_done.silent", "not_done.sent", "not_done.follow"].map((key) => line(about, say(key), 1)))));
  where.replaceChildren(...parts);
}

const part = (heading, ...inside) => node("section", "", { class: "part" }, node("h2", heading), ...inside);

function who(about) {
  const { shown, say } = about;
  const found = [line(about, say("unit.name", shown))];
  if (shown.demo) found.push(line(about, say("unit.demo"), 1));
  if (shown.title) found.push(line(about, say("unit.title", shown), 2));
  found.push(line(about, say("institution", { name: shown.organisation }), 2, "institution"));
  if (shown.place) found.push(line(about, say(`place.${shown.precision}`, { place: shown.place }), 2));
  return found;
}

// A line of the page. `mark` is 1 for enforced, 2 for promised, 0 for what is no statement about the unit; `id` an element or context that it opens to.
function line(about, text, mark = 0, id = null, before = []) {
  const { say } = about;
  const said = [...before, node("span", text)];
  if (mark) said.push(node("span", say(mark === 1 ? "page.enforced" : "page.promised"), { class: mark === 1 ? "mark enforced" : "mark" }));
  if (!id) return node("li", "", { class: "plain" }, ...said);
  return node("li", "", {}, node("details", "", {}, node("summary", "", {}, ...said), node("div", "", { class: "explained" }, ...explained(about, id, mark))));
}

// The official text in this language where one was imported, else our own; then what stands behind the line.
function explained({ facts, locale, say }, id, mark) {
  const official = facts.official[id]?.[locale];
  const own = facts.explanations[locale];
  const found = official?.description
    ? [node("p", `${say("page.official")}: ${official.title}`, { class: "source" }), node("p", official.description)]
    : [node("p", own.texts[id])];
  if (!official?.description && !own.reviewed) found.push(node("p", say("page.unchecked"), { class: "source" }));
  found.push(node("p", say(mark === 1 ? "page.enforced_words" : "page.promised_words")));
  return found;
}

// The guarantee as on the sign: from the signed message, or worked out from the signed policy.
function protection(about) {
  const { shown: { guarantee: { scope, period, month, periodS } }, say } = about;
  const stated = scope <= SCOPES.noisyOnly;
  const span = periodS === 86400 ? "day" : "period";
  const filled = { period: duration(say, periodS) };
  const lines = [];
  const add = (key, more = {}) => lines.push(line(about, say(key, { ...filled, ...more }), 1, stated ? "differential_privacy" : null));
  if (scope === SCOPES.nobody) lines.push(line(about, say("guarantee.no_people"), 2));
  else {
    if (stated && scope !== SCOPES.all) add("page.only");
    if (!stated || period === 100) add(`guarantee.open_${span}`);
    else { add(`guarantee.${scope === SCOPES.all ? "" : "some_"}${span}`, { n: period }); add("guarantee.guess"); }
    if (!stated || month === 100) add("guarantee.open_month"); else add("guarantee.month", { n: month });
    if (scope === SCOPES.noisyOnly) add("page.no_limit");
  }
  const inside = [node("ul", "", {}, ...lines)];
  if (stated && period < 100) inside.unshift(node("p", "", { class: "gauge", "aria-hidden": "true" }, node("b", String(period)), node("span", " / 100"), node("meter", "", { min: 50, max: 100, value: period })));
  return part(say("heading.protection"), ...inside);
}

function figures({ shown: { latest }, facts, locale, say }) {
  const found = latest.streams.map(({ stream, start, lengthS, state, cells }) => {
    const window = say("page.window", { stream, day: day(facts, locale, start), start: clock(start), end: clock(start + lengthS) });
    const rows = cells.map(({ name, unit, value }) => node("tr", "", {}, node("th", name, { scope: "row" }), node("td", (STATES[value] ? say(STATES[value]) : value) + (BARE.includes(unit) || STATES[value] ? "" : ` ${unit}`))));
    const caption = node("caption", window, {}, ...(state === "complete" ? [] : [node("br"), say("page.not_whole")]));
    const head = node("tr", "", {}, node("th", say("page.category"), { scope: "col" }), node("th", say("page.number"), { scope: "col" }));
    return node("table", "", {}, caption, node("thead", "", {}, head), node("tbody", "", {}, ...rows));
  });
  if (latest.leftOut) found.push(node("p", say("page.left_out", { n: latest.leftOut })));
  return found;
}

function ask(about) {
  const { shown, say } = about;
  const item = line(about, say(`ask.${shown.channel}`, shown), 2);
  const link = feedbackLink(shown);
  if (link) item.append(node("p", "", {}, node("a", say("page.feedback"), { href: link, rel: "noreferrer", class: "button" })), node("p", say("page.feedback_note"), { class: "source" }));
  return item;
}

// Only the unit's public id and the policy's version travel; only these schemes are ever a link.
export function feedbackLink(shown) {
  const about = `unit=${encodeURIComponent(`${shown.city}/${shown.site}/${shown.unit}`)}&policy=${shown.version}`;
  if (shown.channel === "url") {
    let url;
    try { url = new URL(shown.where); } catch { return null; }
    if (url.protocol !== "https:") return null;
    url.search = url.search ? `${url.search}&${about}` : about;
    return url.href;
  }
  if (shown.channel === "email" && /^[^\s@?&]+@[^\s@?&]+$/.test(shown.where)) {
    return `mailto:${shown.where}?subject=${encodeURIComponent(`${shown.city}/${shown.site}/${shown.unit}, policy ${shown.version}`)}`;
  }
  if (shown.channel === "phone") return `tel:${shown.where.replace(/[^+0-9]/g, "")}`;
  return null;
}
