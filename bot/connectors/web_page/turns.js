// What was said and is being said, as rows of the page.

import { el, icon, portrait, setWords } from "./dom.js";
import { locale, t } from "./words.js";

const TOGETHER_MS = 5 * 60_000; // words that follow within this time stand under one name
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });

export class Turns {
  #rows = new Map(); // message id -> row
  #waiting = new Map(); // slug -> the row with the dots, for a character that has not said a word yet
  #anew = new Map(); // slug -> message id that this character is about to say anew
  #speaking = new Set(); // slugs

  constructor(list, company, deeds) {
    this.list = list;
    this.company = company;
    this.deeds = deeds; // {answer, again, on, why, up, down, more, before, after, retry, discard}: what the buttons do
    this.you = "";
    list.addEventListener("click", (e) => this.#tapped(e));
  }

  get empty() { return this.#rows.size === 0; }
  get speaking() { return this.#speaking; }
  has(id) { return this.#rows.has(id); }
  text(id) { return this.#rows.get(id)?.said.text; }

  clear() {
    this.list.replaceChildren();
    this.#rows.clear();
    this.#waiting.clear();
    this.#anew.clear();
    this.#speaking.clear();
  }

  // A whole message: shown, or brought up to date when it is here already.
  put(said, { speaking = false, unsent = "" } = {}) {
    let row = this.#rows.get(said.id);
    if (!row) {
      row = this.#row(said);
      this.#rows.set(said.id, row);
      const dots = said.from === "character" ? this.#waiting.get(said.author) : null;
      if (dots) { // the words come where the dots were
        this.#waiting.delete(said.author);
        dots.replaceWith(row);
      } else this.#insert(row);
    }
    row.said = { ...row.said, ...said };
    setWords(row.words, row.said.text);
    this.#besides(row);
    row.classList.toggle("speaking", speaking);
    row.classList.toggle("unsent", Boolean(unsent));
    row.fate.textContent = unsent;
    this.#arrange(row);
  }

  prepend(turns) {
    const first = this.list.firstChild;
    for (const said of turns.filter((t) => !this.#rows.has(t.id))) {
      const row = this.#row(said);
      this.#rows.set(said.id, row);
      this.list.insertBefore(row, first);
      setWords(row.words, said.text);
      this.#besides(row);
    }
    this.#arrangeAll();
  }

  edit({ id, text, more }) {
    const row = this.#rows.get(id);
    if (!row) return false;
    row.said.text = text ?? row.said.text + more;
    row.classList.remove("anew");
    row.classList.add("speaking");
    this.#dropDots(row.said.author);
    this.#paint(row);
    return true;
  }

  // A fast model says more words in a second than a screen shows pictures.
  #paint(row) {
    if (row.painting) return;
    row.painting = requestAnimationFrame(() => {
      row.painting = 0;
      setWords(row.words, row.said.text);
    });
  }

  final({ id, text }) {
    const row = this.#rows.get(id);
    if (!row) return null;
    row.said.text = text;
    cancelAnimationFrame(row.painting);
    row.painting = 0;
    setWords(row.words, text);
    row.classList.remove("speaking", "anew");
    row.anew = false;
    return row.said;
  }

  // Which of its takes a reply shows, and how you rated it.
  beside({ id, ...beside }) {
    const row = this.#rows.get(id);
    if (!row) return;
    Object.assign(row.said, beside);
    this.#besides(row);
  }

  #besides(row) {
    const { take = 0, takes = 1, rating = null } = row.said;
    if (!row.takes) return;
    row.takes.hidden = takes < 2;
    row.takes.querySelector("span").textContent = `${take + 1} / ${takes}`;
    row.takes.querySelector("[data-deed=before]").disabled = take < 1;
    row.takes.querySelector("[data-deed=after]").disabled = take >= takes - 1;
    row.querySelector("[data-deed=up]").setAttribute("aria-pressed", String(rating !== null && rating > 3));
    row.querySelector("[data-deed=down]").setAttribute("aria-pressed", String(rating !== null && rating < 3));
  }

  isAnew(id) { return Boolean(this.#rows.get(id)?.anew); }

  remove(id) {
    const row = this.#rows.get(id);
    if (!row) return;
    const next = row.nextElementSibling;
    row.remove();
    this.#rows.delete(id);
    if (next) this.#arrange(next);
    this.#markLast();
  }

  // This reply will be made anew: its character's dots belong into it.
  expectAnew(id) {
    const row = this.#rows.get(id);
    if (!row) return;
    this.#anew.set(row.said.author, id);
    row.anew = true; // until its last word: then it has one take more
    if (this.#speaking.has(row.said.author)) this.#beginAnew(row.said.author);
  }

  thinking(slug, on) {
    if (!on) {
      this.#speaking.delete(slug);
      this.#dropDots(slug);
      this.#rows.get(this.#anew.get(slug))?.classList.remove("anew");
      this.#anew.delete(slug);
      return;
    }
    this.#speaking.add(slug);
    if (this.#anew.has(slug)) return this.#beginAnew(slug);
    const isShown = [...this.#rows.values()].some((row) => row.said.author === slug && row.classList.contains("speaking"));
    if (!isShown && !this.#waiting.has(slug)) {
      const row = this.#row({ id: "", from: "character", author: slug, name: this.company.get(slug)?.name ?? slug, text: "", at: new Date().toISOString() });
      row.classList.add("waiting");
      row.words.append(el("span", { class: "dots", role: "img", "aria-label": t("is thinking") }, el("i"), el("i"), el("i")));
      this.#waiting.set(slug, row);
      this.#insert(row);
    }
  }

  #beginAnew(slug) {
    this.#dropDots(slug);
    this.#rows.get(this.#anew.get(slug))?.classList.add("anew");
  }

  #dropDots(slug) {
    this.#waiting.get(slug)?.remove();
    this.#waiting.delete(slug);
  }

  // Unsent words stay below everything that was really said.
  #insert(row) {
    const unsent = [...this.list.children].find((other) => other.classList.contains("unsent"));
    this.list.insertBefore(row, unsent ?? null);
    this.#arrange(row);
  }

  #row(said) {
    const mine = said.from === "person" && said.author === this.you;
    const character = said.from === "character" ? this.company.get(said.author) : null;
    const words = el("div", { class: "words", dir: "auto" });
    const when = new Date(said.at);
    const fate = el("p", { class: "fate" });
    const row = el("li", { class: `turn ${said.from}${mine ? " mine" : ""}` },
      portrait(character, said.name),
      el("div", { class: "said" },
        el("p", { class: "who" },
          el("span", { class: "name", dir: "auto" }, mine ? t("You") : said.name),
          el("time", { datetime: said.at, title: when.toLocaleString() }, clock.format(when))),
        said.from === "person" ? this.#quote(said.reply_to) : null, // a character always answers somebody
        el("div", { class: "line" }, words, this.#buttons(said, mine)),
        fate));
    if (character) row.style.setProperty("--hue", this.company.hue(said.author));
    return Object.assign(row, { said, words, fate, takes: row.querySelector(".takes") });
  }

  #quote(id) {
    const answered = id && this.#rows.get(id);
    if (!answered) return null;
    return el("p", { class: "quote", dir: "auto" }, el("b", {}, answered.said.name), ` ${short(answered.said.text)}`);
  }

  #buttons(said, mine) {
    const button = (deed, label, hint) => el("button", { type: "button", "data-deed": deed, title: hint, "aria-label": `${hint}: ${said.name}`, ...(deed === "up" || deed === "down" ? { "aria-pressed": "false" } : {}) }, icon(deed), el("span", {}, label));
    const more = () => button("more", t("More"), t("More about this message"));
    if (mine) {
      const offer = (deed, label) => el("button", { type: "button", "data-deed": deed }, label);
      return el("div", { class: "beneath" }, el("div", { class: "deeds" }, more()), el("div", { class: "rescue" }, offer("retry", t("Try again")), offer("discard", t("Discard"))));
    }
    return el("div", { class: "deeds" },
      button("answer", t("Answer"), t("Answer this message")),
      ...(said.from === "character" ? [
        el("div", { class: "takes", role: "group", "aria-label": t("Takes of this reply"), hidden: true },
          el("button", { type: "button", "data-deed": "before", "aria-label": t("The take before"), title: t("The take before") }, "‹"), el("span", {}),
          el("button", { type: "button", "data-deed": "after", "aria-label": t("The take after"), title: t("The take after") }, "›")),
        button("again", t("Again"), t("Say it again, differently")),
        button("on", t("Go on"), t("Say more")),
        button("up", t("Good"), t("That was good")),
        button("down", t("Bad"), t("That was not good")),
        button("hear", t("Hear"), t("Hear it aloud")),
        button("why", t("Why?"), t("Why did it say that?"))] : []),
      more());
  }

  #tapped(e) {
    const row = e.target.closest(".turn");
    const deed = e.target.closest("[data-deed]")?.dataset.deed;
    if (deed) return this.deeds[deed](row.said);
    for (const other of this.list.querySelectorAll(".chosen")) if (other !== row) other.classList.remove("chosen");
    if (row?.said.id && !getSelection()?.toString()) row.classList.toggle("chosen");
  }

  #arrange(row) {
    this.#join(row);
    if (row.nextElementSibling) this.#join(row.nextElementSibling);
    this.#markLast();
  }

  #arrangeAll() {
    for (const row of this.list.children) this.#join(row);
    this.#markLast();
  }

  #join(row) {
    const before = row.previousElementSibling, said = row.said;
    const other = before?.said;
    const apart = !other || new Date(said.at).toDateString() !== new Date(other.at).toDateString();
    const today = new Date(said.at).toDateString() === new Date().toDateString();
    row.dataset.day = apart && !(today && !other) ? (today ? t("Today") : day.format(new Date(said.at))) : "";
    row.classList.toggle("new-day", Boolean(row.dataset.day));
    row.classList.toggle("joined", !apart && other.from === said.from && other.author === said.author && other.name === said.name
      && new Date(said.at) - new Date(other.at) < TOGETHER_MS);
  }

  #markLast() {
    const last = [...this.list.children].findLast((row) => row.said.from === "character" && row.said.id);
    for (const row of this.list.querySelectorAll(".last")) if (row !== last) row.classList.remove("last");
    last?.classList.add("last");
  }
}

export const short = (text) => {
  const line = text.replace(/[\s*]+/g, " ").trim();
  const letters = [...line];
  return letters.length > 90 ? `${letters.slice(0, 90).join("")}…` : line;
};

// Keeps the newest words in sight for a reader who is at the end, and leaves everybody else where they are.
export class Scroll {
  constructor(log, page, button) {
    this.log = log;
    this.button = button;
    this.atEnd = false; // an empty channel begins at its top
    log.addEventListener("scroll", () => this.#moved(), { passive: true });
    const keep = new ResizeObserver(() => { if (this.atEnd) this.toEnd(); else this.#moved(true); });
    keep.observe(page);
    keep.observe(log);
    button.addEventListener("click", () => this.toEnd(true));
  }

  toEnd(smooth = false) {
    this.atEnd = true;
    this.button.hidden = true;
    this.log.scrollTo({ top: this.log.scrollHeight, behavior: smooth && !matchMedia("(prefers-reduced-motion: reduce)").matches ? "smooth" : "instant" });
  }

  #moved(grew = false) {
    const left = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight;
    if (!grew) this.atEnd = left < 60;
    this.button.hidden = this.atEnd || left < 60 || !this.log.querySelector(".turn"); // greetings are nobody's newest words
  }
}
