// The control room: asks every other second, and shows what it is told.

import "./control-words.js";
import { ask, json, reach } from "./api.js";
import { lookThrough } from "./control-curate.js";
import { curve } from "./control-curve.js";
import { $, el } from "./dom.js";
import { offer } from "./files.js";
import { attempt, frame } from "./frame.js";
import { locale, number, t } from "./words.js";

const PAUSE_MS = 2000;
const RUNS_OPEN = 3;
let before = null; // the last answer: speeds are differences
let since = null;
const opened = new Map(); // what somebody unfolded stays so

frame();
look();

async function look() {
  try {
    const told = await ask("/api/control");
    show(told);
    since = new Date(told.at * 1000);
    $("fresh").textContent = t("As of {time}", { time: clock(since) });
    before = told;
  } catch (refusal) {
    $("fresh").textContent = refusal.mayPass && since ? t("Troupe cannot be reached just now; these numbers are of {time}.", { time: clock(since) }) : refusal.message;
    before = null;
    if (!refusal.mayPass) return;
  }
  setTimeout(look, document.hidden ? PAUSE_MS * 5 : PAUSE_MS);
}

function state(channel) {
  if (channel.place) return t("{count} replies go first", { count: number(channel.place - 1) });
  return channel.busy ? t("speaking") : t("quiet");
}

function show(told) {
  gauges(told);
  runs(told.runs);
  fill("channels", told.channels, t("Nobody is talking just now."), [t("Channel"), t("State")], (c) => [
    c.key, [state(c), c.waiting ? t("{count} waiting", { count: number(c.waiting) }) : ""].filter(Boolean).join(" · "),
  ]);
  fill("builds", told.builds, "", [t("Build"), t("Replies"), t("Rating"), t("Measured")], (b) => [
    el("span", {}, b.here ? el("button", { type: "button", class: "plain-button", onclick: () => attempt(() => report(b.build)) }, b.build) : el("strong", {}, b.build), b.canary ? badge(t("tried")) : null, b.serving ? badge(t("serving"), "good") : null, b.here ? null : badge(t("gone"))),
    number(b.replies),
    b.ratings ? t("{stars} of 5 ({count})", { stars: number(b.stars), count: number(b.ratings) }) : "–",
    Object.entries(b.scores).slice(0, 6).map(([name, value]) => `${name} ${typeof value === "number" ? number(value) : value}`).join(" · ") || "–",
  ]);
  $("canary").hidden = !told.canary;
  $("canary").textContent = told.canary ? t("{build} is tried by {share} % of the channels since {when}. {seen}", { ...told.canary, share: number(Math.round(100 * told.canary.share)), when: when(told.canary.since) }) : "";
  fill("reports", told.reports, t("Nothing was reported that nobody has looked at."), [t("Reply"), t("Where"), ""], (r) => [
    el("span", { dir: "auto" }, el("strong", {}, r.character), ` ${r.text}`),
    el("span", {}, r.channel.startsWith("web:") ? el("a", { href: `/?${new URLSearchParams({ channel: r.channel.slice(4) })}` }, r.channel) : r.channel, el("small", {}, ` ${r.build} · ${when(r.at)} · ${t("{count} people", { count: number(r.people) })}`)),
    el("button", { type: "button", class: "plain-button", onclick: () => attempt(() => ask(`/api/control/reports/${r.number}`, json({}))) }, t("It may stay")),
  ]);
  fill("stored", stored(told), t("Nothing is stored yet."), [t("What"), t("Number")], (row) => row);
  fill("curation", told.curation, t("Nothing was collected to learn from."), [t("Run"), t("Rows"), t("Approved"), t("Dropped"), t("Waiting for a look")], (c) => [
    c.run, number(c.rows), number(c.approved), number(c.dropped), c.waiting ? el("button", { type: "button", class: "press calm small", onclick: () => lookThrough(c.run) }, t("Look through {count}", { count: number(c.waiting) })) : "0",
  ]);
  fill("jobs", Object.entries(told.jobs), t("No job has run yet."), [t("Job"), t("Last"), t("Next"), t("Did")], ([name, ran]) => [
    name, when(ran.last), ran.next ? when(ran.next) : "–", ran.error ? el("span", { class: "alarm" }, ran.error) : ran.did || "–",
  ]);
  fill("troubles", told.troubles, t("Nothing has gone wrong."), ["", "", ""], (x) => [clock(new Date(x.at * 1000)), badge(x.level, x.level === "WARNING" ? "" : "bad"), `${x.where}: ${x.what}`]);
}

function gauges(told) {
  const engine = told.engine;
  const seconds = before ? told.at - before.at : 0;
  const speed = (name) => (seconds > 0 ? Math.max(0, (engine[name] - before.engine[name]) / seconds) : null);
  const read = engine.evaluated_tokens + engine.reused_tokens;
  const shown = [
    [t("answers"), told.build],
    [t("replies being made"), number(engine.live), engine.waiting ? t("{count} waiting", { count: number(engine.waiting) }) : ""],
    [t("tokens/s written"), figure(speed("reply_tokens"))],
    [t("tokens/s read"), figure(speed("evaluated_tokens")), read ? `${Math.round((100 * engine.reused_tokens) / read)} % ${t("reused")}` : ""],
    [t("cache"), engine.cells ? `${Math.round((100 * engine.cells_used) / engine.cells)} %` : "–", engine.cells ? `${number(engine.cells_used)} / ${number(engine.cells)}` : ""],
    [t("memory"), bytes(told.memory_bytes)],
    [t("open pages"), number(told.open_pages)],
    [t("up since"), clock(new Date(told.began * 1000))],
  ];
  $("gauges").replaceChildren(...shown.map(([name, value, aside]) => el("div", { class: "gauge" }, el("dt", {}, name), el("dd", {}, value, aside ? el("small", {}, aside) : null))));
}

function stored(told) {
  const s = told.stored;
  return [
    [t("people"), number(s.people)],
    [t("registered characters"), number(s.characters)],
    [t("facts remembered"), number(s.facts)],
    ...Object.entries(s.turns).map(([state, count]) => [t("turns {state}", { state }), number(count)]),
    ...Object.entries(s.replies).map(([state, count]) => [t("replies {state}", { state }), number(count)]),
    [t("database"), bytes(s.file_bytes)],
    ...told.consents.map((c) => [t("Consent to {kind}", { kind: t(c.kind) }), t("{yes} yes, {no} no", { yes: number(c.granted), no: number(c.refused) })]),
  ];
}

// Runs are redrawn only when they changed: an unfolded one must not fold under somebody's finger.
let drawn = "";
function runs(told) {
  const mark = JSON.stringify(told);
  if (mark === drawn) return;
  drawn = mark;
  if (!told.length) {
    $("runs").replaceChildren(el("p", { class: "made-up" }, t("Nothing has been trained here yet.")));
    return;
  }
  $("runs").replaceChildren(...told.map((run, i) => oneRun(run, i < RUNS_OPEN)));
}

function oneRun(run, open) {
  const live = run.stages.some((stage) => stage.live);
  const box = el("details", { class: "run", open: opened.get(run.name) ?? open });
  box.addEventListener("toggle", () => opened.set(run.name, box.open));
  box.append(
    el("summary", {}, el("strong", {}, run.name), live ? badge(t("goes on"), "good") : null, el("small", {}, new Date(run.touched * 1000).toLocaleString(locale))),
    ...run.stages.filter((stage) => stage.curve).map((stage) => drawing(run, stage)),
    el("ul", { class: "stages" }, ...run.stages.map((stage) =>
      el("li", {}, el("strong", {}, stage.name), ` ${stage.finished ? t("finished") : stage.live ? t("goes on") : t("begun")} · ${t("{minutes} min", { minutes: number(Math.round(stage.minutes)) })}`,
        el("small", {}, Object.entries(stage.figures).slice(0, 5).map(([name, value]) => `${name} ${typeof value === "number" ? number(value) : value}`).join(" · "))))),
  );
  return box;
}

function drawing(run, stage) {
  const last = stage.curve.trained.at(-1)?.[1] ?? stage.curve.held_out.at(-1)?.[1] ?? 0;
  const told = [t("step {step}", { step: number(stage.curve.step) }), stage.live && stage.curve.tokens_per_second ? t("{speed} tokens/s", { speed: number(Math.round(stage.curve.tokens_per_second)) }) : ""];
  return el("figure", { "data-run": run.name },
    curve(stage.curve, t("Loss of {name}: {last} nats per token at the last step", { name: `${run.name} ${stage.name}`, last: number(last) })),
    el("figcaption", {}, el("span", { class: "key trained" }, t("trained")), el("span", { class: "key held" }, t("held out")), el("span", {}, told.filter(Boolean).join(" · "))));
}

async function report(build) {
  const name = build.replace(/^unmanaged:|@.*$/g, "");
  const response = await reach(`/api/control/builds/${encodeURIComponent(name)}`);
  const text = await response.text();
  $("report-title").textContent = build;
  $("report-text").textContent = text;
  $("report-save").onclick = () => offer(new Blob([text], { type: "text/markdown" }), `${name}.md`);
  $("report-dialog").showModal();
}

// ------------------------------------------------------------------ tables

// Drawn again only when it changed: a button must not vanish under somebody's finger.
const filled = new Map();
function fill(id, rows, nothing, heads, cells) {
  const mark = JSON.stringify(rows);
  if (filled.get(id) === mark) return;
  filled.set(id, mark);
  if (!rows.length) {
    $(id).replaceChildren(el("p", { class: "made-up" }, nothing));
    return;
  }
  const head = heads.some(Boolean) ? el("thead", {}, el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name)))) : null;
  $(id).replaceChildren(el("table", {}, head, el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells(row).map((cell) => el("td", {}, cell)))))));
}

const badge = (words, kind = "") => el("span", { class: `badge ${kind}` }, words);
const figure = (value) => (value === null ? "…" : number(Math.round(value * 10) / 10));
const clock = (date) => date.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const when = (iso) => (iso ? new Date(iso).toLocaleString(locale, { dateStyle: "short", timeStyle: "short" }) : t("never"));

function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KB", "MB", "GB"];
  let i = 0;
  let left = count;
  while (left >= 1024 && i < units.length - 1) { left /= 1024; i += 1; }
  return `${number(left >= 100 ? Math.round(left) : Math.round(left * 10) / 10)} ${units[i]}`;
}
