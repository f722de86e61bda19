// "Why did it say that?": what went into a reply, for people who want to know.

import { $, el } from "./dom.js";

export function showWhy(why) {
  const { counters } = why;
  const fact = (label, value) => [el("dt", {}, label), el("dd", { dir: "auto" }, value)];
  const number = (n) => n.toLocaleString();
  $("why-title").textContent = `Why did ${why.character} say that?`;
  $("why-body").replaceChildren(
    el("blockquote", { dir: "auto" }, why.text),
    ...(why.exemplars.length ? [
      el("h3", {}, "It was reminded of having said"),
      el("ul", { class: "exemplars" }, ...why.exemplars.map((line) =>
        el("li", {}, el("span", { class: "asked", dir: "auto" }, line.said), el("span", { dir: "auto" }, line.reply)))),
    ] : []),
    ...(why.lore.length ? [el("h3", {}, "Lore that came up"), el("p", {}, why.lore.join(", "))] : []),
    ...(why.memories.length ? [el("h3", {}, "Memories that came up"), el("p", {}, why.memories.join(", "))] : []),
    el("h3", {}, "How it was made"),
    el("dl", {},
      ...fact("Model", why.build),
      ...fact("Read", `${number(counters.prompt_tokens)} tokens, ${number(counters.reused_tokens)} of them from the cache`),
      ...fact("Wrote", `${number(counters.reply_tokens)} tokens in ${counters.total_seconds.toFixed(1)} s, the first after ${counters.first_token_seconds.toFixed(1)} s`),
      ...fact("Ended", { stop: "when it had said it", length: "at the longest a reply may be", cancelled: "when somebody said stop" }[why.finish_reason] ?? why.finish_reason),
      ...fact("Character", `revision ${why.revision}, prompt version ${why.prompt_version}, seed ${why.seed}`)));
  $("why-dialog").showModal();
  $("why-dialog").scrollTop = 0; // it would begin at its button
}
