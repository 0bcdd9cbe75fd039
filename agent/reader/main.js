// The page: what came in (sign's code, file, radio), judged and drawn. The fragment never leaves the browser.

import facts from "./facts.js";
import { reasonOf, cannot, judgeCopy, judgeLive } from "./verdict.js";
import { fromBase32 } from "./disclosure.js";
import { available, readLive } from "./live.js";
import { drawShown, drawVerdict } from "./page.js";
import { node, words } from "./words.js";

const at = (id) => document.getElementById(id);
const MAX_FILE = 8192;
let result = null;
let locale = [...navigator.languages].map((tag) => tag.slice(0, 2)).find((code) => code in facts.locales) ?? "en";

const nowS = () => Math.floor(Date.now() / 1000);

function draw() {
  const say = words(facts, locale);
  document.documentElement.lang = locale;
  document.title = say("page.title");
  for (const [id, key] of [["title", "title"], ["language-label", "language"], ["bluetooth", "read"], ["file-label", "file"], ["no-bluetooth", "no_bluetooth"], ["print", "print"]]) at(id).textContent = say(`page.${key}`);
  at("intro").textContent = say("page.intro");
  if (result) drawVerdict(at("verdict"), result, facts, locale);
  else at("verdict").replaceChildren(node("p", say("page.begin")));
  drawShown(at("shown"), result?.shown ?? null, facts, locale);
  at("print").hidden = !result?.shown;
  const notes = [node("p", say("page.trust", { city: facts.trust.city, n: facts.trust.version }))];
  if (!facts.locales[locale].reviewed) notes.push(node("p", say("note.unreviewed")), node("p", facts.locales[locale].unreviewed, { lang: "en" }));
  if (facts.attribution) notes.push(node("p", facts.attribution, { lang: "en" }));
  at("footer").replaceChildren(...notes);
}

let latest = 0;
async function show(judging) {
  const mine = ++latest;
  result = { verdict: "busy", shown: null };
  draw();
  const found = await judging.catch((error) => cannot(reasonOf(error)));
  if (mine !== latest) return;
  result = found;
  draw();
  document.documentElement.dataset.done = found.verdict;
}

async function fromFragment() {
  const text = location.hash.slice(1);
  if (text) await show((async () => judgeCopy(fromBase32(text), facts, nowS()))());
}

async function fromFile(file) {
  if (!file) return;
  await show((async () => {
    if (file.size > MAX_FILE) return cannot("malformed");
    const bytes = new Uint8Array(await file.arrayBuffer());
    const text = bytes.length < MAX_FILE && bytes.every((byte) => byte < 0x80) ? new TextDecoder().decode(bytes).trim() : "";
    return judgeCopy(/^[0-9a-f]+$/.test(text) && text.length % 2 === 0 ? new Uint8Array(text.match(/../g).map((pair) => parseInt(pair, 16))) : bytes, facts, nowS());
  })());
}

async function begin() {
  for (const [code, { name }] of Object.entries(facts.locales)) at("language").append(node("option", name, { value: code, lang: code }));
  at("language").value = locale;
  at("language").addEventListener("change", () => { locale = at("language").value; draw(); });
  at("bluetooth").addEventListener("click", () => show(readLive().then((read) => judgeLive(read, facts, nowS()))));
  at("file").addEventListener("change", () => fromFile(at("file").files[0]));
  at("print").addEventListener("click", () => window.print());
  window.addEventListener("hashchange", fromFragment);
  draw();
  const radio = await available();
  at("bluetooth").hidden = !radio;
  at("no-bluetooth").hidden = radio;
  await fromFragment();
  document.documentElement.dataset.ready = "yes";
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => {});
}

begin();
