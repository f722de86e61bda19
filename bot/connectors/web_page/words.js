// The page's own words in the visitor's language. English is the key, so a word that is missing here is still a word.

import { CHINESE, CHINESE_WITH_VALUES } from "./words-zh.js";
import { keep } from "./keep.js";

const LANGUAGES = { en: {}, zh: CHINESE };
const WITH_VALUES = { en: {}, zh: CHINESE_WITH_VALUES };
const asked = keep.get("language");
export const language = asked in LANGUAGES ? asked : (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
export const locale = language === "zh" ? "zh-CN" : navigator.language?.startsWith("en") ? navigator.language : "en";

// t("{count} found", { count }): the sentence in this language, with its values.
export function t(sentence, values = {}) {
  return filled(LANGUAGES[language][sentence] ?? sentence, values);
}

const filled = (words, values) => words.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? values[key] : whole));

// What the server says: one of its standing sentences, or one that holds a name or a number, known by the words around it.
export function heard(sentence) {
  if (sentence in LANGUAGES[language]) return t(sentence);
  for (const known of Object.keys(WITH_VALUES[language])) {
    const names = [...known.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const around = known.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const found = sentence.match(new RegExp(`^${around.join("(.+?)")}$`, "s"));
    if (found) return filled(WITH_VALUES[language][known], Object.fromEntries(names.map((name, i) => [name, found[i + 1]])));
  }
  return sentence;
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
