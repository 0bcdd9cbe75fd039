// DTPR's hexagons: purpose on black, who answers on white, technology on its colour; official icons, which are whole hexagons, where imported.

import { node } from "./words.js";

export const FILL = { yellow: "#FFDD00", blue: "#36B2E6", white: "#FFFFFF" };
const SVG = "http://www.w3.org/2000/svg";
const HEXAGON = "M50 2 93.3 27v50L50 102 6.7 77V27z";
const GLYPHS = {
  1: [["circle", { cx: 50, cy: 52, r: 21 }], ["circle", { cx: 50, cy: 52, r: 7, class: "full" }]],
  0: [["circle", { cx: 50, cy: 39, r: 12, class: "full" }], ["path", { d: "M27 74a23 21 0 0 1 46 0z", class: "full" }]],
  2: [["circle", { cx: 34, cy: 52, r: 7, class: "full" }], ["path", { d: "M45 38a20 20 0 0 1 0 28" }], ["path", { d: "M55 28a33 33 0 0 1 0 48" }]],
};
const MOST = 6;

function draw(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function hexagon(category, kind, icon = null) {
  const whole = draw("svg", { viewBox: "0 0 100 104", class: `hexagon ${kind}`, "aria-hidden": "true" });
  whole.append(draw("path", { d: HEXAGON, class: "cell" }));
  if (icon) whole.append(draw("image", { href: icon, x: -2.5, y: -0.5, width: 105, height: 105 }));
  else for (const [name, attributes] of GLYPHS[category]) whole.append(draw(name, { class: "line", ...attributes }));
  return whole;
}

// An official icon that brings another colour than the disclosure's would say something else about the sensor; so would its title.
export function iconOf(facts, id, category, colour) {
  const brings = facts.icons?.[id];
  if (brings === undefined || (category === 2 && brings && brings !== colour)) return null;
  return `icons/${id}.svg`;
}

export function honeycomb(shown, facts, locale) {
  const cells = [];
  const { titles } = facts.explanations[locale];
  for (const wanted of [1, 0, 2]) {
    for (const number of shown.numbers) {
      const [id, category] = facts.registry[number - 1];
      if (category !== wanted || id === "organization") continue;
      const kind = category === 2 ? shown.colour : category === 1 ? "purpose" : "accountable";
      const official = facts.icons?.[id] !== undefined && !iconOf(facts, id, category, shown.colour) ? null : facts.official[id]?.[locale]?.title;
      const label = id === "institution" ? shown.organisation : official ?? titles[id] ?? id;
      cells.push(node("li", "", {}, hexagon(category, kind, iconOf(facts, id, category, shown.colour)), node("span", label)));
    }
  }
  return node("ul", "", { class: "honeycomb" }, ...cells.slice(0, MOST));
}
