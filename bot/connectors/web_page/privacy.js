// What is stored about the visitor, what they agree to, and how to make it go away.

import * as api from "./api.js";
import { $, el } from "./dom.js";
import { saveAs } from "./files.js";
import { number, t } from "./words.js";

export class Privacy {
  constructor({ attempt, forgotten }) {
    Object.assign(this, { attempt, forgotten }); // forgotten: what the page does when everything is gone
    $("privacy-button").addEventListener("click", () => { $("talk-dialog").close(); this.#open(); });
    $("privacy-export").addEventListener("click", () => attempt(() => saveAs("/api/privacy/export", "my-data.json")));
    $("privacy-forget").addEventListener("click", () => this.#forget());
  }

  #open() {
    $("privacy-said").textContent = "";
    $("privacy-dialog").showModal();
    return this.#show();
  }

  #show() {
    return this.attempt(async () => {
      const told = await api.privacy();
      const rows = Object.entries(told.stored).map(([kind, count]) => `${number(count)} ${t(kind)}`);
      $("privacy-stored").textContent = rows.length ? t("Stored about you: {rows}.", { rows: rows.join(", ") }) : t("Nothing is stored about you.");
      $("privacy-questions").replaceChildren(
        this.#question(t(told.wordings.remember), told.remember, (granted) => api.consent("remember", granted)),
        this.#question(t(told.wordings.train), told.train, (granted) => api.consent("train", granted)),
        ...told.likenesses.map((asked) => this.#question(t(asked.text), asked.state === "asked" ? null : asked.state === "agreed", (granted) => api.lend(asked.number, granted))));
    });
  }

  // The text, and both answers; the one that holds is pressed.
  #question(text, holds, answer) {
    const choice = (label, granted) => el("button", { type: "button", "aria-pressed": String(holds === granted), onclick: () => this.attempt(async () => {
      $("privacy-said").textContent = t((await answer(granted)).text);
      await this.#show();
    }) }, label);
    return el("li", {}, el("p", {}, text), el("span", { class: "doings" }, choice(t("I agree"), true), choice(t("I do not agree"), false)));
  }

  #forget() {
    const dialog = $("forget-dialog");
    dialog.returnValue = "";
    dialog.onclose = () => { if (dialog.returnValue === "yes") this.attempt(async () => { $("privacy-said").textContent = (await api.forgetMe()).text; await this.#show(); this.forgotten(); }); };
    dialog.showModal();
  }
}
