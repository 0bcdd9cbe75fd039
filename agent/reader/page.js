// Draws a verdict. Text goes in by textContent alone: nothing of a disclosure is ever taken for markup.

import { dayOf } from "./disclosure.js";

const SECTIONS = [["who", [0]], ["why", [1]], ["sensor", [2]], ["numbers", [3, 4]], ["receivers", [5, 6, 7]]];
const CONTEXT = { yellow: "tech.identifiable", blue: "tech.de_identified", white: "tech.non_identifiable" };
const FILL = { yellow: "#FFDD00", blue: "#36B2E6", white: "#FFFFFF" };
const SVG = "http://www.w3.org/2000/svg";
const OWN = { organization: "page.vendors", differential_privacy: "page.differential_privacy", values_time: "page.values_time", data_retained: "page.kept" };

export function words(facts, locale) {
  const table = facts.locales[locale];
  return (key, filled = {}) => (table.texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(filled[name] ?? ""));
}

export function day(facts, locale, seconds) {
  const { date, months, first_day } = facts.locales[locale];
  const at = dayOf(seconds);
  const number = at.getUTCDate() === 1 ? first_day : String(at.getUTCDate());
  return date.replace("{day}", number).replace("{month}", months[at.getUTCMonth()]).replace("{year}", String(at.getUTCFullYear()));
}

export function node(name, text = "", attributes = {}, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

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
  const say = words(facts, locale);
  const parts = [];
  if (shown.stop !== undefined) parts.push(node("p", say("page.stopped"), { class: "notice" }, node("br"), shown.stop));
  if (shown.upcoming) parts.push(node("p", say("page.upcoming", { n: shown.upcoming.version, day: day(facts, locale, shown.upcoming.notBefore) }), { class: "notice" }));
  for (const [section, categories] of SECTIONS) {
    parts.push(node("h2", say(`heading.${section}`)));
    const list = node("ul");
    if (section === "who") list.append(...who(shown, say));
    for (const number of shown.numbers) {
      const [id, category, mark] = facts.registry[number - 1];
      if (categories.includes(category) && id !== "institution") list.append(element(id, mark, shown, facts, locale, say));
    }
    if (section === "sensor") list.append(line(say(CONTEXT[shown.colour]), 2, say, [hexagon(FILL[shown.colour])]));
    parts.push(list);
  }
  parts.push(node("h2", say("heading.time")), node("ul", "", {},
    line(say("page.expires", { day: day(facts, locale, shown.expires) }), 1, say),
    line(say("page.version", { n: shown.version }), 0, say), line(say("page.code", { code: shown.code }), 0, say)));
  parts.push(node("h2", say("heading.ask")), node("ul", "", {}, ask(shown, say)));
  parts.push(node("h2", say("heading.not_done")), node("ul", "", {},
    ...["not_done.silent", "not_done.sent", "not_done.follow"].map((key) => line(say(key), 1, say))));
  where.replaceChildren(...parts);
}

function who(shown, say) {
  const found = [line(say("unit.name", shown), 0, say)];
  if (shown.demo) found.push(line(say("unit.demo"), 1, say));
  if (shown.title) found.push(line(say("unit.title", shown), 2, say));
  found.push(line(say("institution", { name: shown.organisation }), 2, say));
  if (shown.place) found.push(line(say(`place.${shown.precision}`, { place: shown.place }), 2, say));
  return found;
}

function element(id, mark, shown, facts, locale, say) {
  const official = facts.official[id]?.[locale];
  const item = line(say(OWN[id] ?? id), mark, say);
  if (official) item.append(node("details", "", {}, node("summary", `${say("page.official")}: ${official.title}`), node("p", official.description ?? "")));
  return item;
}

// `mark` is 1 for enforced, 2 for promised, 0 for what is no statement about the unit.
function line(text, mark, say, before = []) {
  if (!mark) return node("li", text);
  const enforced = mark === 1;
  return node("li", "", {}, ...before, text, node("span", say(enforced ? "page.enforced" : "page.promised"), { class: enforced ? "mark enforced" : "mark" }));
}

function ask(shown, say) {
  const item = line(say(`ask.${shown.channel}`, shown), 2, say);
  const link = feedbackLink(shown);
  if (link) item.append(node("p", "", {}, node("a", say("page.feedback"), { href: link, rel: "noreferrer" })), node("p", say("page.feedback_note")));
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

function hexagon(fill) {
  const drawing = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 36 40", class: "hexagon", "aria-hidden": "true" })) drawing.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  for (const [key, value] of Object.entries({ d: "M18 2 34 11v18L18 38 2 29V11z", fill, stroke: "#000", "stroke-width": "2" })) path.setAttribute(key, value);
  drawing.append(path);
  return drawing;
}
