// What was collected to learn from, row by row: approve it, change what is learnt, or drop it.

import { ask, json } from "./api.js";
import { $, el } from "./dom.js";
import { toast } from "./frame.js";
import { number, t } from "./words.js";

let run = "", lesson = null, busy = false;

const address = () => `/api/control/curation/${encodeURIComponent(run)}`;

export async function lookThrough(name) {
  run = name;
  if (!(await told(() => ask(address())))) return;
  $("curate-dialog").showModal();
  $("curate-keep").focus();
}

// Whether it worked; what did not is said.
async function told(asking) {
  try {
    show(await asking());
    return true;
  } catch (refusal) {
    toast(refusal.message);
    return false;
  }
}

function show({ waiting, lessons }) {
  lesson = lessons[0] ?? null;
  $("curate-left").textContent = lesson ? t("{count} wait for a look", { count: number(waiting) }) : t("Everything has been looked at.");
  for (const id of ["curate-row", "curate-drop", "curate-keep"]) $(id).hidden = !lesson;
  if (!lesson) return $("curate-close").focus();
  const line = (name, words) => el("p", { dir: "auto" }, el("strong", {}, `${name}: `), words);
  $("curate-talk").replaceChildren(
    ...lesson.before.flatMap((pair) => [line(t("somebody"), pair.said), line(lesson.character, pair.reply)]),
    line(t("somebody"), lesson.said));
  $("curate-text").value = lesson.chosen;
  $("curate-other").replaceChildren(
    ...(lesson.rejected === null ? [] : [el("p", { dir: "auto" }, el("strong", {}, `${t("Instead of")}: `), lesson.rejected)]),
    ...(lesson.liked === null ? [] : [el("p", {}, lesson.liked ? t("Somebody liked it.") : t("Somebody did not like it: it is learnt to be avoided."))]));
  changed();
  $("curate-keep").focus();
}

const edited = () => $("curate-text").value.trim() !== lesson.chosen.trim();

function changed() {
  $("curate-keep").textContent = edited() ? t("Approve as changed") : t("Approve");
}

async function decide(verdict) {
  if (busy || !lesson) return;
  busy = true;
  const text = verdict === "edit" ? $("curate-text").value : "";
  await told(() => ask(address(), json({ key: lesson.key, verdict, text })));
  busy = false;
}

$("curate-text").addEventListener("input", changed);
$("curate-keep").addEventListener("click", () => decide(edited() ? "edit" : "approve"));
$("curate-drop").addEventListener("click", () => decide("drop"));
$("curate-close").addEventListener("click", () => $("curate-dialog").close());
