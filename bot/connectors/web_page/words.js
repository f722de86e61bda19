// The page's own words in the visitor's language. English is the key, so a word that is missing here is still a word.

import { CHINESE } from "./words-zh.js";
import { keep } from "./keep.js";

const LANGUAGES = { en: {}, zh: CHINESE };
const asked = keep.get("language");
export const language = asked in LANGUAGES ? asked : (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
export const locale = language === "zh" ? "zh-CN" : navigator.language?.startsWith("en") ? navigator.language : "en";

// t("{count} found", { count }): the sentence in this language, with its values.
export function t(sentence, values = {}) {
  const words = LANGUAGES[language][sentence] ?? sentence;
  return words.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? values[key] : whole));
}

// The words that stand in the page's HTML: whatever has data-t, and the attributes that data-ta names.
export function translate(root = document) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of root.querySelectorAll("[data-t]")) {
    node.dataset.t ||= node.textContent.trim().replace(/\s+/g, " ");
    node.textContent = t(node.dataset.t);
  }
  for (const node of root.querySelectorAll("[data-ta]")) {
    for (const name of node.dataset.ta.split(" ")) node.setAttribute(name, t(node.getAttribute(name)));
  }
}

export function switchLanguage() {
  keep.set("language", language === "zh" ? "en" : "zh");
  location.reload();
}

export const number = (value) => Number(value).toLocaleString(locale);
