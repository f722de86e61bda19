// What can be done to a talk beyond talking: stars, corrections, memories, the scene, beginning again from somewhere.

import * as api from "./api.js";
import { $, el, icon } from "./dom.js";
import { short } from "./turns.js";
import { t } from "./words.js";

export class Talk {
  #scene = ""; #moderates = false;

  constructor({ company, attempt, toast, rate, turns }) {
    Object.assign(this, { company, attempt, toast, rate, turns });
    $("talk-button").addEventListener("click", () => this.#open());
    $("remember-new").addEventListener("click", () => this.#remember("", this.company.awake[0]?.slug));
  }

  show({ place, moderates }) {
    this.#moderates = moderates;
    this.scene = place;
  }

  set scene(text) {
    this.#scene = text;
    $("scene-line").hidden = !text;
    $("scene-line").textContent = text;
  }

  // ---------------------------------------------------------------- one message

  more(said) {
    const own = said.from === "character";
    const dialog = $("more-dialog");
    dialog.returnValue = "";
    $("more-text").textContent = short(said.text);
    $("more-edit").hidden = !own || !this.#moderates;
    $("more-report").hidden = !own;
    $("more-hide").hidden = !this.#moderates;
    $("stars").hidden = !own;
    $("stars").replaceChildren(...(own ? [1, 2, 3, 4, 5].map((value) =>
      el("button", { type: "button", class: value <= (said.rating ?? 0) ? "on" : "", "aria-label": t("{count} of 5 stars", { count: value }), "aria-pressed": String(said.rating === value),
        onclick: () => { this.rate(said, said.rating === value ? 0 : value); dialog.close(); } }, icon("star"))) : []));
    dialog.onclose = () => ({ edit: () => this.#edit(said), remember: () => this.#remember(said.text, own ? said.author : this.company.awake[0]?.slug), rewind: () => this.#rewind(said), report: () => this.attempt(async () => this.toast(t((await api.report(said.id)).text))), hide: () => this.attempt(() => api.hide(said.id)) })[dialog.returnValue]?.();
    dialog.showModal();
  }

  #write({ title, hint, text, who = null, done }) {
    const dialog = $("write-dialog");
    dialog.returnValue = "";
    $("write-title").textContent = title;
    $("write-hint").textContent = hint;
    $("write-text").value = text;
    $("write-who-row").hidden = who === null;
    $("write-who").replaceChildren(...(who === null ? [] : this.company.all.map((c) => el("option", { value: c.slug, selected: c.slug === who }, c.name))));
    dialog.onclose = () => { if (dialog.returnValue === "yes") this.attempt(() => done($("write-text").value, $("write-who").value)); };
    dialog.showModal();
    $("write-text").focus();
  }

  #edit(said) {
    this.#write({
      title: t("What {name} has said", { name: said.name }),
      hint: t("The characters go on from these words. The first ones stay with the reply, for those who judge replies."),
      text: said.text,
      done: (text) => api.edit(said.id, text),
    });
  }

  #remember(text, who) {
    const open = $("talk-dialog").open;
    if (open) $("talk-dialog").close();
    this.#write({
      title: t("Something to remember"),
      hint: t("A sentence or two that they always have in mind when they talk to you here."),
      text: text.slice(0, 300),
      who: who ?? this.company.all[0]?.slug ?? "",
      done: async (words, character) => {
        const fact = await api.remember(character, words);
        this.toast(t("{name} keeps that in mind.", { name: fact.name }));
        if (open) await this.#open();
      },
    });
  }

  #rewind(said) {
    const dialog = $("rewind-dialog");
    dialog.returnValue = "";
    dialog.onclose = () => { if (dialog.returnValue === "yes") this.attempt(() => api.rewind(said.id)); };
    dialog.showModal();
  }

  // ---------------------------------------------------------------- the whole talk

  async #open() {
    const dialog = $("talk-dialog");
    $("scene").value = this.#scene;
    dialog.onclose = () => {
      const place = $("scene").value.trim();
      if (place !== this.#scene) this.attempt(async () => { this.scene = (await api.setScene(place)).place; });
    };
    if (!dialog.open) dialog.showModal();
    await this.#list();
  }

  #list() {
    return this.attempt(async () => {
      const { memories } = await api.memories();
      $("no-memories").hidden = memories.length > 0;
      $("memories").replaceChildren(...memories.map((memory) => this.#memory(memory)));
    });
  }

  #memory({ id, name, text, pinned, everywhere, of_place }) {
    const act = (label, sign, deed, more = {}) => el("button", { type: "button", title: label, "aria-label": `${label}: ${text}`, onclick: () => this.attempt(deed).then(() => this.#list()), ...more }, sign);
    return el("li", {},
      el("span", { class: "told", dir: "auto" }, text, el("small", {}, [name, everywhere ? t("everywhere") : null, of_place ? t("of this place") : null].filter(Boolean).join(" · "))),
      el("span", { class: "acts" },
        act(t("Always in mind"), "★", () => api.changeMemory(id, { pinned: !pinned }), { "aria-pressed": String(pinned) }),
        el("button", { type: "button", title: t("Change"), "aria-label": `${t("Change")}: ${text}`, onclick: () => this.#change(id, text) }, "✎"),
        act(t("Have it forgotten"), "×", () => api.forgetMemory(id))));
  }

  #change(id, text) {
    $("talk-dialog").close();
    this.#write({ title: t("Something to remember"), hint: "", text, done: async (words) => { await api.changeMemory(id, { text: words }); await this.#open(); } });
  }
}
