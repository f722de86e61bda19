// Blind rating: one judgement after the other; which side is which, the server alone knows.

import "./control-words.js";
import "./rating-words.js";
import { ask, json } from "./api.js";
import { $, el } from "./dom.js";
import { attempt, frame, toast } from "./frame.js";
import { number, t } from "./words.js";

let told = null;
let current = null; // {study, form}

frame();
await list();

async function list() {
  told = await attempt(() => ask("/api/rating"));
  if (!told) return;
  $("to-control").hidden = !told.operator;
  $("making").hidden = !told.operator;
  $("studies").replaceChildren(...(told.studies.length ? told.studies.map(one) : [el("p", { class: "nobody" }, t("There is nothing to rate just now."))]));
  if (told.operator && !$("a").options.length) await offers();
  if (told.studies.some((study) => study.making)) setTimeout(list, 3000);
}

function one(study) {
  const progress = study.making
    ? t("{count} pairs so far; more are being made", { count: number(study.items) })
    : t("{pairs} of {items} pairs compared, {points} of {replies} replies scored", { pairs: number(study.compared), items: number(study.items), points: number(study.scored), replies: number(study.items * 2) });
  return el("div", { class: "study", "data-study": study.id },
    el("div", { class: "told" }, el("strong", {}, study.title), el("small", {}, progress), told.operator ? el("small", {}, `${study.a} · ${study.b}`) : null),
    el("div", { class: "deedrow" },
      el("button", { class: "press", type: "button", "data-deed": "pair", onclick: () => open(study, "pair") }, t("Compare")),
      el("button", { class: "press calm", type: "button", "data-deed": "point", onclick: () => open(study, "point") }, t("Score")),
      told.operator ? el("button", { class: "press calm", type: "button", "data-deed": "results", onclick: () => results(study) }, t("Results")) : null));
}

async function open(study, form) {
  current = { study, form };
  $("results").hidden = true;
  const item = await attempt(() => ask(`/api/rating/${study.id}/${form}`));
  if (item) show(item);
}

function show(item) {
  const { form } = current;
  const box = $("task");
  box.hidden = false;
  const done = form === "pair" ? item.item === null : item.mark === null;
  if (done) {
    box.replaceChildren(el("h2", { tabindex: "-1" }, t("That was all. Thank you!")), el("p", { class: "made-up" }, t("When more is added, it appears above.")));
  } else {
    const whom = item.character ? t("To {name} it was said:", { name: item.character }) : t("It was said:");
    box.replaceChildren(
      el("h2", { tabindex: "-1" }, form === "pair" ? t("Which answer is better?") : t("How good is this answer?")),
      el("p", { class: "made-up" }, whom, item.tagline ? ` (${item.tagline})` : ""),
      el("p", { class: "asked" }, item.asked),
      form === "pair" ? pair(item) : point(item));
  }
  box.querySelector("h2").focus({ preventScroll: true });
  box.scrollIntoView({ block: "nearest" });
}

function pair(item) {
  const choose = (choice) => send({ item: item.item, choice });
  const side = (name, words) => el("div", { class: "answer" }, el("p", {}, item[name]), el("button", { class: "press", type: "button", "data-choice": name, onclick: () => choose(name) }, words));
  return el("div", {},
    el("div", { class: "pair" }, side("left", t("This one")), side("right", t("This one"))),
    el("button", { class: "press calm tie", type: "button", "data-choice": "tie", onclick: () => choose("tie") }, t("Neither is better")));
}

function point(item) {
  const form = el("form", {},
    el("p", { class: "reply" }, item.reply),
    el("div", { class: "scores" }, ...told.dimensions.map((dimension) =>
      el("fieldset", {}, el("legend", {}, t(dimension)), ...[1, 2, 3, 4, 5].map((value) =>
        el("label", {}, el("input", { type: "radio", name: dimension, value }), number(value)))))),
    el("button", { class: "press", type: "submit" }, t("Next")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const scores = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, Number(value)]));
    if (Object.keys(scores).length) send({ mark: item.mark, scores });
    else toast(t("Choose at least one number; 1 is bad, 5 is good."));
  });
  return form;
}

async function send(body) {
  const { study, form } = current;
  const next = await attempt(() => ask(`/api/rating/${study.id}/${form}`, json(body)));
  if (!next) return;
  show(next);
  await list();
}

// ------------------------------------------------------------------ for operators

async function results(study) {
  const r = await attempt(() => ask(`/api/rating/${study.id}/results`));
  if (!r) return;
  $("task").hidden = true;
  const p = r.pairwise;
  const share = p.share_a === null ? "–" : `${percent(p.share_a)} (${percent(p.low)} – ${percent(p.high)})`;
  const cells = (row) => el("tr", {}, ...row.map((cell) => el("td", {}, cell)));
  const head = (names) => el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name))));
  $("results").hidden = false;
  $("results").replaceChildren(
    el("h2", {}, study.title),
    el("p", { class: "made-up" }, t("{raters} raters, {items} pairs", { raters: number(r.raters), items: number(r.items) })),
    el("table", {}, head([t("Preferred"), r.a, r.b, t("Neither"), t("Share of {name}, 95 %", { name: r.a }), t("Agreement (alpha)")]),
      el("tbody", {}, cells([t("Comparisons"), number(p.a), number(p.b), number(p.tie), share, figure(p.alpha)]))),
    el("table", {}, head([t("Mean score"), r.a, r.b, t("Scores"), t("Agreement (alpha)")]),
      el("tbody", {}, ...Object.entries(r.pointwise).map(([name, d]) => cells([t(name), figure(d.a), figure(d.b), number(d.count), figure(d.alpha)])))),
    el("p", { class: "deedrow" },
      el("a", { class: "press calm", href: `/api/rating/${study.id}/export?form=jsonl`, download: "" }, "JSONL"),
      el("a", { class: "press calm", href: `/api/rating/${study.id}/export?form=csv`, download: "" }, "CSV")));
}

async function offers() {
  const [gallery, sources] = await Promise.all([ask("/api/gallery"), ask("/api/rating-sources")]).catch(() => [{ characters: [] }, { runs: {} }]);
  const fill = (select, pairs) => select.replaceChildren(...pairs.map(([value, words]) => el("option", { value }, words)));
  const offer = () => {
    const builds = $("kind").value === "builds";
    $("run-row").hidden = !builds;
    $("questions-row").hidden = builds;
    const names = builds ? (sources.runs[$("run").value] || []).map((name) => [name, name]) : gallery.characters.map((c) => [c.slug, c.name]);
    fill($("a"), names);
    fill($("b"), names);
    if (names.length > 1) $("b").selectedIndex = 1;
  };
  fill($("run"), Object.keys(sources.runs).map((run) => [run, run]));
  $("kind").options[1].disabled = !Object.keys(sources.runs).length;
  $("kind").addEventListener("change", offer);
  $("run").addEventListener("change", offer);
  offer();
}

$("new").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wanted = { title: $("title").value, a: $("a").value, b: $("b").value };
  if ($("kind").value === "builds") wanted.run = $("run").value;
  else wanted.questions = $("questions").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const made = await attempt(() => ask("/api/rating", json(wanted)));
  if (!made) return;
  $("title").value = $("questions").value = "";
  $("making").open = false;
  await list();
});

const figure = (value) => (value === null ? "–" : number(Math.round(value * 100) / 100));
const percent = (value) => `${Math.round(value * 100)} %`;
