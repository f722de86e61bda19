// One character in full, and the way to a talk with it.

import { ask, json, keep } from "./api.js";
import { $, el, icon, portrait, setWords, spreadHues } from "./dom.js";
import { saveAs } from "./files.js";
import { attempt, frame } from "./frame.js";
import { hear, lookForVoice } from "./voice.js";
import { number, t } from "./words.js";

const slug = decodeURIComponent(location.pathname.split("/")[2] || "");

function show(c) {
  document.title = `${c.name} · Troupe`;
  $("name").textContent = c.name;
  $("tagline").textContent = c.tagline;
  $("portrait").replaceChildren(portrait({ ...c, portrait: c.portrait?.replace(/-\d+\.webp/, "-512.webp") }, c.name));
  document.documentElement.style.setProperty("--hue", spreadHues([c]).get(c.slug));
  $("numbers").replaceChildren(
    ...(c.ratings ? [el("span", {}, icon("star"), t("{stars} of 5 from {count} ratings", { stars: c.stars.toFixed(1), count: number(c.ratings) }))] : []),
    ...(c.replies ? [el("span", {}, icon("talk"), t("{replies} replies to {people} people", { replies: number(c.replies), people: number(c.people) }))] : [el("span", {}, t("Nobody has talked to them yet."))]));
  $("tags").replaceChildren(...c.categories.map((name) => el("li", { class: "chip", dir: "auto" }, name)));
  setWords($("about"), c.about || t("Their card does not say."));
  greetings(c.greetings);
  $("examples").hidden = !c.examples.length;
  $("examples").querySelector("ol").replaceChildren(...c.examples.map((pair) => {
    const reply = el("div", { class: "words", dir: "auto" });
    setWords(reply, pair.reply);
    return el("li", {}, pair.said ? el("div", { class: "asked", dir: "auto" }, pair.said) : null, el("div", { class: "character bubble" }, reply));
  }));
  const fact = (label, value) => [el("dt", {}, label), el("dd", { dir: "auto" }, value)];
  $("facts").replaceChildren(
    ...fact(t("Made by"), c.made_by || (c.shipped ? "Troupe" : t("somebody here"))),
    ...(c.version ? fact(t("Version"), c.version) : []),
    ...(c.languages.length ? fact(t("Languages"), c.languages.join(", ")) : []),
    ...fact(t("Lore"), t("{count} entries that come up when they are spoken of", { count: number(c.lore) })),
    ...(c.lines ? fact(t("Lines"), t("{count} lines that it is reminded of", { count: number(c.lines) })) : []));
  $("made-up").textContent = t(c.notice);
  $("hear").onclick = () => attempt(() => hear(c.slug, { name: keep.get("name") || "" }));
  $("talk").textContent = t("Talk to {name}", { name: c.name });
  $("talk").onclick = () => attempt(() => talk(c));
  $("go-on").hidden = !c.talk;
  if (c.talk) {
    $("go-on").textContent = t("Go on where you were");
    $("go-on").onclick = () => { location.href = `/?${new URLSearchParams({ channel: c.talk.channel })}`; };
  }
  $("owner").hidden = !c.may_edit;
  $("edit").href = `/workshop?${new URLSearchParams({ character: c.slug })}`;
  $("export-png").onclick = () => attempt(() => saveAs(`/api/workshop/${encodeURIComponent(c.slug)}/card.png`, `${c.slug}.png`));
  $("export-json").onclick = () => attempt(() => saveAs(`/api/workshop/${encodeURIComponent(c.slug)}/card.json`, `${c.slug}.json`));
  $("character").hidden = false;
}

function greetings(all) {
  let at = 0;
  const turn = (step) => {
    at = (at + step + all.length) % all.length;
    setWords($("greeting"), all[at] ?? t("They wait for your first word."));
    $("which").textContent = `${at + 1} / ${all.length}`;
  };
  if (!all.length) return setWords($("greeting"), t("They wait for your first word."));
  $("others").hidden = all.length < 2;
  $("before").onclick = () => turn(-1);
  $("after").onclick = () => turn(1);
  turn(0);
}

// A channel of its own for these two; its name is not to be guessed, because who knows it can read along.
async function talk(c) {
  const letters = Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => (b % 36).toString(36)).join("");
  const channel = `${c.slug.slice(0, 32)}-${letters}`;
  await ask(`/api/channels/${channel}/choose`, json({ character: c.slug }));
  location.href = `/?${new URLSearchParams({ channel })}`;
}

frame();
lookForVoice();
try {
  show(await ask(`/api/gallery/${encodeURIComponent(slug)}?${new URLSearchParams({ name: keep.get("name") || "" })}`));
} catch (refusal) {
  $("nobody").textContent = refusal.message;
  $("nobody").hidden = false;
}
