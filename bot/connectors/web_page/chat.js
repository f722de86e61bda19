// The page: brings the company, the conversation, the events and the message box together.

import * as api from "./api.js";
import { Company } from "./company.js";
import { $, el, listNames, portrait, setWords } from "./dom.js";
import { Feed } from "./feed.js";
import { saveAs } from "./files.js";
import { Privacy } from "./privacy.js";
import { Talk } from "./talk.js";
import { Scroll, Turns, short } from "./turns.js";
import { hear, lookForVoice } from "./voice.js";
import { showWhy } from "./why.js";
import { switchLanguage, t, translate } from "./words.js";

const { channel, keep } = api;
const text = $("text"), nameField = $("name");
const outboxKey = `outbox.${channel}`, draftKey = `draft.${channel}`;

let replyTo = null; // {id, name, text}: what the next message answers
let first = null; // the oldest turn that is shown
let more = false; // whether there are older ones
let unseen = 0;
let connected = false;

const company = new Company(async (slug, awake) => {
  try {
    company.setAwake((await api.setAwake(slug, awake)).awake);
    showIntro();
  } catch (refusal) {
    if (refusal.status === 400) resync(); // another page was quicker
    else toast(refusal.message);
  }
});
const turns = new Turns($("turns"), company, {
  answer: (said) => answer(said),
  again: (said) => attempt(() => api.again(said.id)),
  on: (said) => attempt(() => api.goOn(said.id)),
  before: (said) => attempt(async () => turns.beside(await api.take(said.id, -1))),
  after: (said) => attempt(async () => turns.beside(await api.take(said.id, 1))),
  up: (said) => rate(said, said.rating > 3 ? 0 : 5),
  down: (said) => rate(said, said.rating !== null && said.rating < 3 ? 0 : 1),
  hear: (said) => attempt(() => hear(said.author, { channel, message: said.id })),
  more: (said) => talk.more(said),
  why: (said) => attempt(async () => showWhy(await api.why(said.id))),
  retry: (said) => send(unsent().find((one) => one.id === said.id)),
  discard: (said) => { forget(said.id); turns.remove(said.id); showIntro(); },
});
const scroll = new Scroll($("log"), document.querySelector(".page"), $("newest"));

// ------------------------------------------------------------------ reading

const myName = () => nameField.value.trim() || t("Visitor");

// What it shows is as old as its question: the feed has to start again from there (``resync``), or what came meanwhile is lost.
async function load() {
  const seen = await api.look(myName());
  company.show(seen.characters);
  turns.you = seen.you;
  turns.clear();
  const stored = seen.turns.filter((said) => said.turn > seen.fresh_after);
  const past = seen.turns.filter((said) => said.turn <= seen.fresh_after);
  for (const said of stored) turns.put(said);
  for (const said of seen.saying) turns.put(turns.has(said.id) ? { id: said.id, text: said.text } : said, { speaking: true });
  for (const slug of seen.thinking) turns.thinking(slug, true);
  for (const message of unsent()) {
    if (turns.has(message.id)) forget(message.id);
    else turns.put(mine(message), { unsent: t("Not sent yet") });
  }
  first = seen.turns[0]?.turn ?? null;
  more = seen.more;
  $("before-reset").hidden = !past.length;
  $("before-reset").onclick = () => { turns.prepend(past); $("before-reset").hidden = true; $("earlier").hidden = !more; showIntro(); };
  $("earlier").hidden = !more || past.length > 0;
  $("made-up").textContent = t(seen.notice);
  talk.show(seen);
  showIntro();
  showSpeaking();
  if (turns.empty) $("log").scrollTop = 0;
  else scroll.toEnd();
  return seen;
}

$("earlier").addEventListener("click", () => attempt(async () => {
  const seen = await api.look(myName(), first);
  const log = $("log"), fromEnd = log.scrollHeight - log.scrollTop;
  turns.prepend(seen.turns);
  log.scrollTop = log.scrollHeight - fromEnd;
  first = seen.turns[0]?.turn ?? first;
  $("earlier").hidden = !seen.more;
}));

// An empty channel shows how each of the characters would begin. These lines are not part of the conversation.
function showIntro() {
  const intro = $("intro");
  intro.hidden = !turns.empty;
  if (intro.hidden) return;
  const here = company.awake;
  intro.replaceChildren(
    el("h1", {}, here.length ? t("The curtain is up") : t("The stage is empty")),
    el("p", {}, here.length > 1 ? t("Say something, and somebody answers. Call them by name to choose who.") : here.length ? t("Say something, and {name} answers.", { name: here[0].name }) : t("Call somebody from the company, and begin.")),
    ...here.map((character) => {
      const words = el("div", { class: "words", dir: "auto" });
      setWords(words, character.greeting);
      const row = el("button", { type: "button", class: "opening", title: t("Talk to {name}", { name: character.name }), onclick: () => callByName(character.name) },
        portrait(character, character.name),
        el("span", { class: "said" }, el("span", { class: "name", dir: "auto" }, character.name), words));
      row.style.setProperty("--hue", company.hue(character.slug));
      return row;
    }));
}

function callByName(name) {
  if (!text.value.includes(name)) text.value = `${name}, ${text.value}`;
  text.focus();
  changed();
}

const feed = new Feed({
  event: (kind, data) => heard[kind](data),
  connected() {
    const back = !connected;
    connected = true;
    $("connection").hidden = true;
    document.body.classList.remove("away");
    if (back) for (const message of unsent()) send(message);
  },
  lost() {
    connected = false;
    // A moment's break is nobody's business.
    setTimeout(() => {
      if (connected) return;
      $("connection").textContent = t("Reconnecting… What you write is kept.");
      $("connection").hidden = false;
      document.body.classList.add("away");
    }, 700);
  },
});

const heard = {
  turn(said) { forget(said.id); turns.put(said); showIntro(); count(said); },
  typing({ character, on }) { turns.thinking(character, on); showIntro(); showSpeaking(); },
  begin(said) { turns.put(said, { speaking: true }); showIntro(); },
  edit(change) { if (!turns.edit(change)) resync(); },
  final(end) {
    const anew = turns.isAnew(end.id);
    const said = turns.final(end);
    if (!said) return;
    if (anew) attempt(async () => turns.beside(await api.beside(end.id)));
    $("announcer").textContent = `${said.name}: ${said.text}`;
    count(said);
  },
  remove({ id }) { turns.remove(id); showIntro(); },
  again({ id }) { turns.expectAnew(id); },
  take(beside) { turns.beside({ ...beside, rating: null }); },
  scene({ place: scene }) { talk.scene = scene; },
  notice({ text: words }) { toast(words, 12_000); },
  awake({ awake }) { company.setAwake(awake); showIntro(); },
  reset() { resync(); },
  resync() { resync(); },
};

let resyncing = null;
function resync() {
  resyncing ??= load().then((seen) => feed.start(seen.after)).catch(() => setTimeout(resync, 2000)).finally(() => { resyncing = null; });
}

function showSpeaking() {
  const slugs = turns.speaking;
  company.setSpeaking(slugs);
  const names = [...slugs].map((slug) => company.get(slug)?.name ?? slug);
  $("speaking").hidden = $("stop").hidden = !slugs.size;
  $("speaking-names").textContent = t(names.length > 1 ? "{names} are speaking" : "{names} is speaking", { names: listNames(names) });
}

function count(said) {
  if (!document.hidden || said.author === turns.you) return;
  unseen += 1;
  title();
}

function title() {
  document.title = `${unseen ? `(${unseen}) ` : ""}${place} · Troupe`;
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) { unseen = 0; title(); } });

// ------------------------------------------------------------------ talking

const unsent = () => keep.read(outboxKey, []);
const forget = (id) => { if (unsent().some((one) => one.id === id)) keep.write(outboxKey, unsent().filter((one) => one.id !== id)); };
const mine = (message) => ({ ...message, from: "person", author: turns.you, name: myName() });

// Kept in the browser until the server has it. The same id twice is one message, so trying again is always safe.
const sending = new Set();
async function send(message) {
  if (!message || sending.has(message.id)) return;
  sending.add(message.id);
  turns.put(mine(message), { unsent: t("Sending…") });
  try {
    const { id, text: words, name, reply_to } = message;
    await api.say({ id, text: words, name, ...(reply_to ? { reply_to } : {}) });
    forget(id);
    turns.put(mine(message));
  } catch (refusal) {
    if (refusal.mayPass) turns.put(mine(message), { unsent: t("Not sent. {why}", { why: refusal.message }) });
    else { // it will never be taken as it is: back into the box it goes
      forget(message.id);
      turns.remove(message.id);
      text.value = text.value ? `${message.text}\n${text.value}` : message.text;
      changed();
      showIntro();
      toast(refusal.message, 9000);
    }
  } finally {
    sending.delete(message.id);
  }
}

$("composer").addEventListener("submit", (e) => {
  e.preventDefault();
  const words = text.value.trim();
  if (!words) return text.focus();
  const message = { id: api.freshId(), text: words, name: myName(), reply_to: replyTo?.id ?? null, at: new Date().toISOString() };
  keep.write(outboxKey, [...unsent(), message]);
  text.value = "";
  answer(null);
  changed();
  scroll.toEnd();
  send(message);
  showIntro();
});

text.addEventListener("keydown", (e) => {
  // While an input method is composing (Chinese, Japanese), Enter takes its suggestion.
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing && e.keyCode !== 229) {
    e.preventDefault();
    $("composer").requestSubmit();
  }
});
text.addEventListener("input", changed);

function changed() {
  keep.set(draftKey, text.value);
  $("send").classList.toggle("ready", Boolean(text.value.trim()));
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight, innerHeight * 0.35)}px`;
}

function answer(said) {
  replyTo = said;
  $("answering").hidden = !said;
  if (!said) return;
  $("answering-text").textContent = t("Answering {name}: {words}", { name: said.name, words: short(said.text) });
  text.focus();
}

$("answering-off").addEventListener("click", () => { answer(null); text.focus(); });
$("stop").addEventListener("click", () => attempt(api.stop));
addEventListener("keydown", (e) => {
  if (e.key !== "Escape" || document.querySelector("dialog[open]")) return;
  if (turns.speaking.size) attempt(api.stop);
  else answer(null);
});

nameField.value = keep.get("name") || "";
nameField.addEventListener("input", () => keep.set("name", nameField.value.trim()));
nameField.addEventListener("change", () => { if (turns.empty) resync(); }); // the opening lines greet by name
nameField.addEventListener("keydown", (e) => { if (e.key === "Enter") text.focus(); });

// ------------------------------------------------------------------ commands and places

let toastTimer = 0;
function toast(words, ms = 6000) {
  $("toast").textContent = words;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, ms);
}
$("toast").addEventListener("click", () => { $("toast").hidden = true; });

async function attempt(deed) {
  try {
    await deed();
  } catch (refusal) {
    toast(refusal.message);
  }
}

const rate = (said, value) => attempt(async () => {
  const { rating } = await api.rate(said.id, value);
  turns.beside({ id: said.id, rating });
});

const talk = new Talk({ company, attempt, toast, rate, turns });
new Privacy({ attempt, forgotten: resync });
$("export-md").addEventListener("click", () => attempt(() => saveAs(api.exportAddress("markdown"), `${channel}.md`)));
$("export-jsonl").addEventListener("click", () => attempt(() => saveAs(api.exportAddress("jsonl"), `${channel}.jsonl`)));
$("language").addEventListener("click", switchLanguage);

$("reset-button").addEventListener("click", () => {
  const dialog = $("reset-dialog");
  dialog.returnValue = "";
  dialog.onclose = () => { if (dialog.returnValue === "yes") attempt(api.reset); };
  dialog.showModal();
});

const place = channel === "lobby" ? t("Lobby") : channel[0].toUpperCase() + channel.slice(1);
$("place").textContent = place;

$("channels-button").addEventListener("click", () => {
  const dialog = $("channels-dialog");
  dialog.returnValue = "";
  $("channel-name").value = "";
  $("channels").replaceChildren(...keep.read("channels", ["lobby"]).map((name) =>
    el("li", {}, el("a", { href: `/?${new URLSearchParams({ channel: name })}`, "aria-current": name === channel ? "page" : null, dir: "auto" }, name))));
  dialog.onclose = () => {
    const name = $("channel-name").value.trim();
    if (dialog.returnValue === "go" && name) location.search = new URLSearchParams({ channel: name }).toString();
  };
  dialog.showModal();
});

async function begin() {
  translate();
  lookForVoice();
  title();
  text.value ||= keep.get(draftKey) || ""; // somebody may have begun to write before this ran
  changed();
  if (matchMedia("(hover: hover)").matches) text.focus();
  for (let wait = 500; ; wait = Math.min(wait * 2, 10_000)) {
    try {
      const seen = await load();
      keep.write("channels", [...new Set(["lobby", ...keep.read("channels", []), channel])].slice(-20));
      return feed.start(seen.after);
    } catch (refusal) {
      $("connection").textContent = refusal.mayPass ? t("{why} Trying again…", { why: refusal.message }) : refusal.message;
      $("connection").hidden = false;
      if (!refusal.mayPass) return;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

begin();
