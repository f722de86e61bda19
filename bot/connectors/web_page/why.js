// "Why did it say that?": what went into a reply, for people who want to know.

import { $, el } from "./dom.js";
import { number, t } from "./words.js";

export function showWhy(why) {
  const { counters } = why;
  const fact = (label, value) => [el("dt", {}, label), el("dd", { dir: "auto" }, value)];
  $("why-title").textContent = t("Why did {name} say that?", { name: why.character });
  $("why-body").replaceChildren(
    el("blockquote", { dir: "auto" }, why.text),
    ...(why.exemplars.length ? [
      el("h3", {}, t("It was reminded of having said")),
      el("ul", { class: "exemplars" }, ...why.exemplars.map((line) =>
        el("li", {}, el("span", { class: "asked", dir: "auto" }, line.said), el("span", { dir: "auto" }, line.reply)))),
    ] : []),
    ...(why.lore.length ? [el("h3", {}, t("Lore that came up")), el("p", {}, why.lore.join(", "))] : []),
    ...(why.memories.length ? [el("h3", {}, t("Memories that came up")), el("ul", { class: "recalled" }, ...why.memories.map(({ id, text }) => el("li", { dir: "auto" }, text || id)))] : []),
    el("h3", {}, t("How it was made")),
    el("dl", {},
      ...fact(t("Model"), why.build),
      ...fact(t("Read"), t("{tokens} tokens, {reused} of them from the cache", { tokens: number(counters.prompt_tokens), reused: number(counters.reused_tokens) })),
      ...fact(t("Wrote"), t("{tokens} tokens in {seconds} s, the first after {first} s", { tokens: number(counters.reply_tokens), seconds: counters.total_seconds.toFixed(1), first: counters.first_token_seconds.toFixed(1) })),
      ...fact(t("Ended"), { stop: t("when it had said it"), length: t("at the longest a reply may be"), cancelled: t("when somebody said stop") }[why.finish_reason] ?? why.finish_reason),
      ...fact(t("Character"), t("revision {revision}, prompt version {version}, seed {seed}", { revision: why.revision, version: why.prompt_version, seed: why.seed }))));
  $("why-dialog").showModal();
  $("why-dialog").scrollTop = 0; // it would begin at its button
}
