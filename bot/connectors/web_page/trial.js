// A talk with a character that is not saved yet. It is kept nowhere.

import { Refusal, json, reach, sentenceOf } from "./api.js";
import { $, el, setWords } from "./dom.js";
import { toast } from "./frame.js";
import { t } from "./words.js";

export class Trial {
  #turns = []; #going = null;

  constructor({ draft, slug, name }) {
    this.draft = draft;
    this.slug = slug;
    this.name = name;
    $("trial-form").addEventListener("submit", (e) => { e.preventDefault(); this.#said(); });
    $("trial-text").addEventListener("keydown", (e) => {
      if (e.key !== "Enter" || e.shiftKey || e.isComposing || e.keyCode === 229) return;
      e.preventDefault();
      $("trial-form").requestSubmit();
    });
    $("trial-new").addEventListener("click", () => this.begin());
  }

  begin() {
    this.#going?.abort();
    this.#turns = [];
    $("trial").replaceChildren();
    const greeting = this.draft().greeting.trim();
    if (greeting) this.#put("character", greeting.replace(/\{\{user\}\}/gi, this.name() || t("Visitor")).replace(/\{\{char\}\}/gi, this.draft().name));
  }

  #put(by, text) {
    const words = el("div", { class: "words", dir: "auto" });
    setWords(words, text);
    const turn = { by, text };
    this.#turns.push(turn);
    $("trial").append(el("li", { class: by }, words));
    $("trial").scrollTop = $("trial").scrollHeight;
    return (more) => {
      turn.text += more;
      setWords(words, turn.text);
      $("trial").scrollTop = $("trial").scrollHeight;
    };
  }

  async #said() {
    const text = $("trial-text").value.trim();
    if (!text) return $("trial-text").focus();
    this.#going?.abort();
    const going = this.#going = new AbortController();
    $("trial-text").value = "";
    this.#put("person", text);
    const turns = this.#turns.map(({ by, text: words }) => ({ by, text: words }));
    const grow = this.#put("character", "");
    $("trial").lastElementChild.classList.add("speaking");
    const row = $("trial").lastElementChild;
    try {
      const response = await reach("/api/workshop/try", { ...json({ draft: this.draft(), character: this.slug, turns, name: this.name() }), signal: going.signal });
      if (!response.ok) throw new Refusal(sentenceOf(await response.json()), response.status);
      await this.#read(response, grow);
    } catch (refusal) {
      if (going.signal.aborted) return;
      this.#turns.pop();
      row.remove();
      toast(refusal.message);
    } finally {
      row.classList.remove("speaking");
    }
  }

  async #read(response, grow) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let left = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (left + value).split("\n");
      left = lines.pop();
      for (const line of lines) {
        const piece = JSON.parse(line);
        if (piece.error) throw new Refusal(sentenceOf(piece), 503);
        grow(piece.text);
      }
    }
  }
}
