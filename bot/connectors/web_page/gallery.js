// The gallery: everybody with a portrait, found by name, trade or category. Only the portraits in sight are fetched.

import { ask, keep } from "./api.js";
import { $, el, icon, portrait, spreadHues } from "./dom.js";
import { attempt, frame } from "./frame.js";
import { number, t } from "./words.js";

const BATCH = 48; // cards that are put into the page at once
const AHEAD = "160px"; // portraits this far below the screen are fetched already
const CATEGORIES = 14;

let everybody = [], shown = [], placed = 0, hues = new Map(), category = "";

const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    target.firstElementChild.replaceWith(portrait(target.character, target.character.name));
  }
}, { rootMargin: AHEAD });

function card(character, talk = false) {
  const { name, slug, tagline, replies, ratings, stars } = character;
  const frame = el("span", { class: "frame" }, portrait({ emoji: "" }, " "));
  frame.character = character;
  near.observe(frame);
  const numbers = el("span", { class: "numbers" },
    ratings ? el("span", { title: t("{count} ratings", { count: number(ratings) }) }, icon("star"), stars.toFixed(1)) : null,
    replies ? el("span", { title: t("{count} replies", { count: number(replies) }) }, icon("talk"), number(replies)) : null,
    character.adults ? el("span", {}, t("for adults")) : null);
  const where = talk ? `/?${new URLSearchParams({ channel: character.talk.channel })}` : `/characters/${encodeURIComponent(slug)}`;
  const item = el("li", {}, el("a", { class: "card", href: where }, frame,
    el("span", { class: "text" },
      el("span", { class: "name", dir: "auto" }, name),
      el("span", { class: "tagline", dir: "auto" }, talk ? ago(character.talk.at) : tagline),
      talk ? null : numbers)));
  item.style.setProperty("--hue", hues.get(slug));
  return item;
}

function ago(at) {
  const minutes = (new Date(at) - Date.now()) / 60_000;
  const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
  if (minutes > -60) return words.format(Math.round(minutes), "minute");
  if (minutes > -60 * 36) return words.format(Math.round(minutes / 60), "hour");
  return words.format(Math.round(minutes / 60 / 24), "day");
}

// ------------------------------------------------------------------ finding

const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

function find() {
  const words = folded($("search").value).split(/\s+/).filter(Boolean);
  shown = everybody.filter((c) => (!category || c.categories.includes(category)) && words.every((word) => c.found.includes(word)));
  const order = $("order").value;
  if (order !== "name") shown.sort((a, b) => b[order] - a[order] || b.replies - a.replies);
  placed = 0;
  list.replaceChildren();
  more();
  const whole = !words.length && !category;
  for (const id of ["recent", "featured"]) $(id).hidden = !whole || !$(id).querySelector("li");
  $("nobody").hidden = shown.length > 0;
  $("count").textContent = number(shown.length);
  if (!whole) $("announcer").textContent = t("{count} found", { count: number(shown.length) });
}

const list = document.querySelector("#everybody .cards");

function more() {
  const next = shown.slice(placed, placed + BATCH);
  placed += next.length;
  list.append(...next.map((character) => card(character)));
  end.disconnect();
  if (placed < shown.length) end.observe(list.lastElementChild);
}

const end = new IntersectionObserver((entries) => { if (entries.some((e) => e.isIntersecting)) more(); }, { rootMargin: "600px" });

function chips() {
  const counted = new Map();
  for (const name of everybody.flatMap((c) => c.categories)) counted.set(name, (counted.get(name) ?? 0) + 1);
  const names = [...counted].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, CATEGORIES).map(([name]) => name);
  $("categories").replaceChildren(...names.map((name) =>
    el("button", { type: "button", class: "chip", "aria-pressed": "false", dir: "auto", onclick: (e) => choose(name, e.currentTarget) }, name)));
}

function choose(name, chip) {
  category = category === name ? "" : name;
  for (const other of $("categories").children) other.setAttribute("aria-pressed", String(other === chip && Boolean(category)));
  find();
}

$("search").addEventListener("input", find);
$("order").addEventListener("change", () => { keep.set("order", $("order").value); find(); });
$("search").closest(".seek").addEventListener("keydown", (e) => { if (e.key === "Escape") { $("search").value = ""; find(); } });
addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.target.matches("input, select, textarea")) return;
  e.preventDefault();
  $("search").focus();
});

// ------------------------------------------------------------------

frame();
$("order").value = keep.get("order") || "name";
await attempt(async () => {
  const answer = await ask("/api/gallery");
  everybody = answer.characters;
  for (const one of everybody) one.found = folded([one.name, one.slug, one.tagline, ...one.categories].join(" "));
  hues = spreadHues(everybody);
  $("create").hidden = $("to-control").hidden = !answer.may_create;
  const recent = everybody.filter((c) => c.talk).sort((a, b) => (a.talk.at < b.talk.at ? 1 : -1)).slice(0, 6);
  $("recent").querySelector("ul").replaceChildren(...recent.map((c) => card(c, true)));
  $("featured").querySelector("ul").replaceChildren(...everybody.filter((c) => c.featured).map((c) => card(c)));
  chips();
  find();
  document.body.dataset.ready = "true";
});
