// What stands on every page but the chat: the bar with its ways, the language, the toast.

import { $ } from "./dom.js";
import { switchLanguage, translate } from "./words.js";

export function frame() {
  translate();
  $("language").addEventListener("click", switchLanguage);
  for (const way of document.querySelectorAll(".ways a")) {
    if (way.pathname === location.pathname) way.setAttribute("aria-current", "page");
  }
}

let timer = 0;
export function toast(words, ms = 7000) {
  $("toast").textContent = words;
  $("toast").hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { $("toast").hidden = true; }, ms);
}

export async function attempt(deed) {
  try {
    return await deed();
  } catch (refusal) {
    toast(refusal.message, 12_000);
    return undefined;
  }
}
