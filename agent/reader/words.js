// The texts of facts.js in one language, and its dates and lengths of time.

import { dayOf } from "./disclosure.js";

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

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

export const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);

export function duration(say, seconds) {
  const [unit, length] = UNITS.find(([, one]) => seconds % one === 0);
  const n = seconds / length;
  return say(`${unit}.${n === 1 ? "one" : "other"}`, { n });
}

export function node(name, text = "", attributes = {}, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
