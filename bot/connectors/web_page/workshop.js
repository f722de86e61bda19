// The workshop: a character is written here. What a field may be, what it costs and who may save it is the server's to say.

import { Refusal, ask, file, json, keep, reach, sentenceOf } from "./api.js";
import { Cropping } from "./cropping.js";
import { changes } from "./diff.js";
import { $, el } from "./dom.js";
import { saveAs } from "./files.js";
import { attempt, frame, toast } from "./frame.js";
import { Trial } from "./trial.js";
import { lookForVoice, play } from "./voice.js";
import { locale, number, t } from "./words.js";

const slug = new URLSearchParams(location.search).get("character") || "";
const keptKey = `workshop.${slug}`;
const MEASURE_AFTER = 450;
const TEXTS = ["name", "nickname", "tagline", "emoji", "greeting", "summary", "description", "definition", "scenario", "creator"];
const LABELS = {
  name: "Name", nickname: "Nickname", tagline: "Tagline", emoji: "Emoji", greeting: "Greeting", alternates: "Other greetings", summary: "In short, for visitors",
  description: "Description", definition: "Definition", scenario: "Scene", creator: "Made by", categories: "Categories", examples: "Example dialogue", talkativeness: "Talkativeness",
  awake: "On stage from the start", age_restricted: "For adults only", sampling: "Sampling", voice: "Voice", lore: "Lore",
};

let opened = { revision: "", draft: null };
let voice = {}, sampling = {}, examples = "", dialoguesTouched = false;
const form = $("form");

// ------------------------------------------------------------------ the form and the draft

function draft() {
  const value = Object.fromEntries(TEXTS.map((name) => [name, form.elements[name].value]));
  const numbers = { ...sampling };
  for (const input of form.querySelectorAll("[data-sampling]")) {
    delete numbers[input.dataset.sampling];
    if (input.value.trim() && !Number.isNaN(input.valueAsNumber)) numbers[input.dataset.sampling] = input.valueAsNumber;
  }
  const sound = { ...voice };
  for (const input of form.querySelectorAll("[data-voice]")) {
    delete sound[input.dataset.voice];
    if (input.value.trim()) sound[input.dataset.voice] = input.type === "number" ? input.valueAsNumber : input.value.trim();
  }
  return {
    ...value,
    alternates: [...$("alternates").querySelectorAll("textarea")].map((area) => area.value).filter((text) => text.trim()),
    categories: form.elements.categories.value.split(/[,，、]/).map((name) => name.trim()).filter(Boolean),
    examples: dialoguesTouched ? written() : examples,
    talkativeness: $("f-talkativeness").valueAsNumber,
    awake: $("f-awake").checked,
    age_restricted: $("f-age_restricted").checked,
    sampling: numbers,
    voice: sound,
    lore: [...$("lore").children].map((row) => ({
      id: row.dataset.id,
      keys: row.querySelector(".keys").value.split(/[,，、]/).map((key) => key.trim()).filter(Boolean),
      content: row.querySelector("textarea").value,
      constant: row.querySelector(".constant").checked,
      enabled: row.querySelector(".enabled").checked,
    })),
  };
}

function fill(d, dialogues) {
  for (const name of TEXTS) form.elements[name].value = d[name];
  form.elements.categories.value = d.categories.join(", ");
  $("alternates").replaceChildren(...d.alternates.map(alternate));
  [examples, dialoguesTouched] = [d.examples, false];
  $("dialogues").replaceChildren(...dialogues.map(dialogue));
  $("f-talkativeness").value = d.talkativeness;
  $("f-awake").checked = d.awake;
  $("f-age_restricted").checked = d.age_restricted;
  [sampling, voice] = [d.sampling, d.voice];
  for (const input of form.querySelectorAll("[data-sampling]")) input.value = d.sampling[input.dataset.sampling] ?? "";
  for (const input of form.querySelectorAll("[data-voice]")) input.value = d.voice[input.dataset.voice] ?? "";
  $("lore").replaceChildren(...d.lore.map(entry));
  showTalkativeness();
}

const showTalkativeness = () => { $("talkativeness-shown").textContent = `${Math.round($("f-talkativeness").valueAsNumber * 100)} %`; };
const gone = (what, row) => el("button", { type: "button", class: "gone", "aria-label": what, title: what, onclick: () => { row().remove(); changed(); } }, "×");

function alternate(text = "") {
  const area = el("textarea", { rows: 3, "aria-label": t("Another greeting"), dir: "auto" });
  area.value = text;
  const row = el("li", { class: "row" }, area, gone(t("Take this greeting away"), () => row));
  return row;
}

function dialogue(lines) {
  const list = el("div", { class: "lines" });
  const box = el("li", { class: "dialogue" }, list,
    el("button", { type: "button", class: "quiet", onclick: () => { touched(); list.append(line({ own: list.children.length % 2 === 1, text: "" })); list.lastElementChild.querySelector("textarea").focus(); } }, t("Another line")));
  list.append(...lines.map(line));
  return box;
}

function line({ own, text }) {
  const area = el("textarea", { rows: 2, dir: "auto", "aria-label": t("What is said"), oninput: touched });
  area.value = text;
  const says = el("button", { type: "button", class: "who-says", onclick: () => { row.classList.toggle("own"); touched(); name(); changed(); } });
  const row = el("div", { class: `line-row${own ? " own" : ""}` }, says, area, gone(t("Take this line away"), () => { touched(); const box = row.closest(".dialogue"); return box.querySelectorAll(".line-row").length > 1 ? row : box; }));
  const name = () => { says.textContent = row.classList.contains("own") ? t("Character") : t("Visitor"); says.title = t("Somebody else says this"); };
  name();
  return row;
}

const touched = () => { dialoguesTouched = true; };

// As cards write it: dialogues behind <START>, a line begins with who says it.
function written() {
  const blocks = [...$("dialogues").children].map((box) => [...box.querySelectorAll(".line-row")]
    .map((row) => [row.classList.contains("own"), row.querySelector("textarea").value.trim()]).filter(([, text]) => text)
    .map(([own, text]) => `${own ? "{{char}}" : "{{user}}"}: ${text}`).join("\n")).filter(Boolean);
  return blocks.map((block) => `<START>\n${block}`).join("\n");
}

function entry(lore = { id: "", keys: [], content: "", constant: false, enabled: true }) {
  const keys = el("input", { class: "keys", "aria-label": t("Words that bring it up"), placeholder: t("Words that bring it up, with commas between them"), dir: "auto" });
  const content = el("textarea", { rows: 3, "aria-label": t("What they know then"), placeholder: t("What they know then"), dir: "auto" });
  const tick = (kind, words, on) => el("label", { class: "tick" }, el("input", { type: "checkbox", class: kind, checked: on }), el("span", {}, words));
  keys.value = lore.keys.join(", ");
  content.value = lore.content;
  const row = el("li", { class: "entry", "data-id": lore.id }, keys, content,
    el("div", { class: "ticks" }, tick("constant", t("always there"), lore.constant), tick("enabled", t("in use"), lore.enabled), gone(t("Take this entry away"), () => row)));
  return row;
}

function adds(button, list, make) {
  $(button).addEventListener("click", () => {
    $(list).append(make());
    $(list).lastElementChild.querySelector("textarea, input").focus();
  });
}
adds("add-alternate", "alternates", () => alternate());
adds("add-lore", "lore", () => entry());
adds("add-dialogue", "dialogues", () => { touched(); return dialogue([{ own: false, text: "" }, { own: true, text: "" }]); });

// ------------------------------------------------------------------ what it costs, and what was begun

let timer = 0, asked = 0;

function changed() {
  keep.write(keptKey, { revision: opened.revision, draft: draft(), dialogues: shownDialogues() });
  clearTimeout(timer);
  timer = setTimeout(measure, MEASURE_AFTER);
  $("title").textContent = form.elements.name.value.trim() || t("A new character");
  showTalkativeness();
}

const shownDialogues = () => [...$("dialogues").children].map((box) =>
  [...box.querySelectorAll(".line-row")].map((row) => ({ own: row.classList.contains("own"), text: row.querySelector("textarea").value })));

async function measure() {
  const mine = ++asked;
  let measured;
  try {
    measured = await ask("/api/workshop/measure", json({ draft: draft(), character: slug }));
  } catch (refusal) {
    measured = { sizes: {}, problem: refusal.message, warnings: [] };
  }
  if (mine !== asked) return; // a newer one is on its way
  for (const output of document.querySelectorAll(".tokens")) {
    const size = measured.sizes[output.dataset.part];
    output.textContent = size ? t("{count} tokens", { count: number(size.tokens) }) : "";
  }
  const shown = [["card", t("The card, in every prompt")], ["examples", t("Example dialogue")], ["lore", t("The longest lore entry")], ["lore_constant", t("Lore that is always there")]];
  $("meters").replaceChildren(...shown.filter(([part]) => measured.sizes[part]?.limit).map(([part, words]) => {
    const { tokens, limit } = measured.sizes[part];
    return el("div", { class: `meter${tokens > limit ? " over" : ""}` }, words, el("span", {}, `${number(tokens)} / ${number(limit)}`),
      el("progress", { max: Math.max(limit, 1), value: Math.min(tokens, limit), "aria-label": words }));
  }));
  const begun = Boolean(form.elements.name.value.trim());
  $("problem").hidden = !measured.problem || !begun;
  $("problem").textContent = measured.problem;
  $("warnings").hidden = !measured.warnings.length;
  $("warnings").replaceChildren(...measured.warnings.map((words) => el("li", {}, words)));
  document.body.dataset.measured = mine;
}

form.addEventListener("input", changed);
form.addEventListener("submit", (e) => e.preventDefault());
$("discard").addEventListener("click", () => { keep.set(keptKey, ""); location.reload(); });

// ------------------------------------------------------------------ tabs

const tabs = [...document.querySelectorAll("[role=tab]")];
function choose(tab, focus = false) {
  for (const one of tabs) {
    const on = one === tab;
    one.setAttribute("aria-selected", String(on));
    one.tabIndex = on ? 0 : -1;
    $(one.getAttribute("aria-controls")).hidden = !on;
  }
  if (focus) tab.focus();
}
for (const [at, tab] of tabs.entries()) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (e) => {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[e.key];
    if (to !== undefined) choose(tabs[(to + tabs.length) % tabs.length], true);
  });
}

// ------------------------------------------------------------------ the portrait

const cropping = new Cropping($("crop"), $("zoom"), $("zooming"));
$("picture").addEventListener("change", (e) => take(e.target.files[0]));
const take = (picture) => picture && attempt(async () => {
  try {
    await cropping.show(picture);
  } catch {
    throw new Error(t("That is not a picture that can be read (PNG, JPEG, WebP or GIF)."));
  }
});
$("draw").addEventListener("click", () => attempt(async () => {
  const picture = await askPicture();
  await cropping.show(picture, { whole: true });
}));

async function askPicture() {
  const response = await reach("/api/workshop/portrait", json({ draft: draft(), character: slug }));
  if (!response.ok) throw new Refusal(sentenceOf(await response.json()), response.status);
  return response.blob();
}

// ------------------------------------------------------------------ saving

$("save").addEventListener("click", () => attempt(async () => {
  $("save").disabled = true;
  try {
    const portrait = await cropping.picture();
    const saved = await ask("/api/workshop/save", json({ draft: draft(), character: slug, revision: opened.revision, ...(portrait ? { portrait } : {}) }));
    keep.set(keptKey, "");
    keep.write("workshop.said", { slug: saved.slug, warnings: saved.warnings });
    location.href = slug ? `/workshop?${new URLSearchParams({ character: saved.slug })}` : `/characters/${encodeURIComponent(saved.slug)}`;
  } finally {
    $("save").disabled = false;
  }
}));

$("import").addEventListener("change", (e) => bring(e.target.files[0]));
const bring = (card) => card && attempt(async () => {
  const saved = await ask(`/api/workshop/import?${new URLSearchParams({ name: card.name })}`, file(card));
  keep.write("workshop.said", { slug: saved.slug, warnings: saved.warnings });
  location.href = `/workshop?${new URLSearchParams({ character: saved.slug })}`;
});

let over = 0;
addEventListener("dragenter", (e) => { if (e.dataTransfer?.types.includes("Files")) { over += 1; $("veil").hidden = $("crop").contains(e.target); } });
addEventListener("dragleave", () => { over = Math.max(0, over - 1); if (!over) $("veil").hidden = true; });
addEventListener("dragover", (e) => e.preventDefault());
addEventListener("drop", (e) => {
  e.preventDefault();
  over = 0;
  $("veil").hidden = true;
  const dropped = e.dataTransfer?.files[0];
  if (dropped) (e.target.closest?.(".picture") ? take : bring)(dropped);
});

const card = (kind, more = "") => () => attempt(() => saveAs(`/api/workshop/${encodeURIComponent(slug)}/card.${kind}${more}`, `${slug}${more ? "-v2" : ""}.${kind}`));
$("export-png").onclick = card("png");
$("export-json").onclick = card("json");
$("export-v2").onclick = card("json", "?spec=v2");

// ------------------------------------------------------------------ revisions

function showRevisions(revisions) {
  $("no-past").hidden = revisions.length > 0;
  const when = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
  $("revisions").replaceChildren(...revisions.map(({ revision, at }, place) =>
    el("li", {}, el("span", { class: "when" }, t("Revision {number}", { number: revision }), " · ", when.format(new Date(at))),
      el("button", { type: "button", class: "plain small compare", onclick: () => attempt(() => compare(revision)) }, t("Compare")),
      place ? el("button", { type: "button", class: "plain small restore", onclick: () => attempt(() => restore(revision)) }, t("Bring back")) : null)));
}

async function compare(revision) {
  const then = (await ask(`/api/workshop/${encodeURIComponent(slug)}/revisions/${revision}`)).draft, now = draft();
  const differing = Object.keys(LABELS).filter((key) => JSON.stringify(then[key]) !== JSON.stringify(now[key]));
  $("diff").replaceChildren(
    el("h3", {}, t("From revision {number} to what the form says now", { number: revision })),
    ...(differing.length ? differing.flatMap((key) => [el("h3", {}, t(LABELS[key])), changes(plain(then[key]), plain(now[key]))]) : [el("p", {}, t("Nothing differs."))]));
}

function plain(value) {
  if (Array.isArray(value)) return value.map((one) => (typeof one === "string" ? one : `${one.keys.join(", ")}: ${one.content}`)).join("\n");
  return value && typeof value === "object" ? Object.entries(value).map(([key, one]) => `${key} ${one}`).join("\n") : String(value ?? "");
}

async function restore(revision) {
  await ask(`/api/workshop/${encodeURIComponent(slug)}/restore`, json({ revision }));
  keep.set(keptKey, "");
  location.reload();
}

$("delete").addEventListener("click", () => {
  const dialog = $("delete-dialog");
  dialog.returnValue = "";
  dialog.onclose = () => dialog.returnValue === "yes" && attempt(async () => {
    await ask(`/api/workshop/${encodeURIComponent(slug)}/delete`, json({}));
    keep.set(keptKey, "");
    location.href = "/gallery";
  });
  dialog.showModal();
});

// ------------------------------------------------------------------

const trial = new Trial({ draft, slug, name: () => keep.get("name") || "" });

$("hear").addEventListener("click", () => attempt(() => play(() => reach("/api/workshop/hear", json({ draft: draft(), character: slug })))));

frame();
lookForVoice();
choose(tabs[0]);
await attempt(async () => {
  const kept = keep.read(keptKey, null);
  if (slug) {
    opened = await ask(`/api/workshop/${encodeURIComponent(slug)}`);
    if (opened.portrait) await cropping.showAddress(opened.portrait);
    for (const id of ["export-png", "export-json", "export-v2", "delete"]) $(id).hidden = false;
    $("delete").hidden = !opened.revisions.length;
    showRevisions(opened.revisions);
    fill(opened.draft, opened.dialogues);
  } else $("f-awake").checked = true;
  if (kept && kept.revision === opened.revision && (!slug || JSON.stringify(kept.draft) !== JSON.stringify(opened.draft))) {
    fill(kept.draft, kept.dialogues);
    if (kept.draft.examples !== opened.draft?.examples) touched();
    $("kept").hidden = !(kept.draft.name || kept.draft.description);
  }
  const said = keep.read("workshop.said", null);
  if (said?.slug === slug && slug) {
    keep.set("workshop.said", "");
    toast([t("{name} is part of the company.", { name: opened.name }), ...said.warnings].join("\n"), 9000);
  }
  $("title").textContent = form.elements.name.value.trim() || t("A new character");
  showTalkativeness();
  trial.begin();
  await measure();
});
document.body.dataset.ready = "true";
