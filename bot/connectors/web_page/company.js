// The company beside the stage: who there is, who is here, calling and letting go.

import { t } from "./words.js";
import { $, el, listNames, portrait, spreadHues } from "./dom.js";

export class Company {
  #known = new Map(); #hues = new Map(); #cards = new Map();

  // ``asked(slug, awake)``: somebody was tapped. Resolves when the server has agreed; rejects otherwise.
  constructor(asked) {
    this.asked = asked;
  }

  get(slug) { return this.#known.get(slug); }
  hue(slug) { return this.#hues.get(slug); }
  get awake() { return [...this.#known.values()].filter((c) => c.awake); }
  get all() { return [...this.#known.values()]; }

  show(characters) {
    const same = characters.length === this.#known.size && characters.every((c) => this.#known.get(c.slug)?.portrait === c.portrait);
    this.#hues = spreadHues(characters);
    if (same) { // nobody moves under somebody's finger
      for (const c of characters) Object.assign(this.#known.get(c.slug), c);
    } else {
      this.#known = new Map(characters.map((c) => [c.slug, c]));
      this.#cards = new Map(characters.map((c) => [c.slug, this.#card(c)]));
      $("company").replaceChildren(...this.#cards.values());
    }
    this.#marks();
  }

  setAwake(slugs) {
    for (const c of this.#known.values()) c.awake = slugs.includes(c.slug);
    this.#marks();
  }

  setSpeaking(slugs) {
    for (const [slug, card] of this.#cards) card.classList.toggle("speaks", slugs.has(slug));
  }

  #card(character) {
    const button = el("button", { type: "button", class: "member", onclick: () => this.#tapped(character.slug) },
      portrait(character, character.name),
      el("span", { class: "about" },
        el("span", { class: "name", dir: "auto" }, character.name),
        el("span", { class: "tagline", dir: "auto" }, character.tagline)),
      el("span", { class: "switch", "aria-hidden": "true" }));
    const card = el("li", {}, button);
    card.style.setProperty("--hue", this.hue(character.slug));
    return card;
  }

  async #tapped(slug) {
    const button = this.#cards.get(slug).querySelector("button");
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    await this.asked(slug, !this.get(slug).awake).catch(() => {});
    button.removeAttribute("aria-busy");
  }

  #marks() {
    for (const [slug, card] of this.#cards) {
      const { awake, name, tagline } = this.get(slug);
      const button = card.querySelector("button");
      card.classList.toggle("awake", awake);
      button.setAttribute("aria-pressed", awake);
      button.title = `${name}: ${tagline}\n${awake ? t("On stage. Tap to let go.") : t("Tap to call on stage.")}`;
    }
    const names = this.awake.map((c) => c.name);
    const many = names.length > 3 ? [...names.slice(0, 3), t("{count} more", { count: names.length - 3 })] : names;
    $("present").replaceChildren(
      el("span", { class: "wide" }, names.length ? t(names.length > 1 ? "{names} are on stage" : "{names} is on stage", { names: listNames(many) }) : t("Nobody is on stage")),
      el("span", { class: "narrow", "aria-hidden": "true" }, names.length === 1 ? t("{names} is on stage", { names: names[0] }) : names.length ? t("{count} on stage", { count: names.length }) : t("Nobody is on stage")));
  }
}
