// Building the page. Whatever people or models wrote becomes text nodes and nothing else.

import { locale } from "./words.js";

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const SHAPES = {
  answer: "M8 5 4 9l4 4M4 9h7a5 5 0 0 1 5 5v1",
  again: "M15.5 8.500A6 6 0 0 0 5 6.500L3.5 8M4.5 11.500A6 6 0 0 0 15 13.500l1.5-1.500M3.5 4v4h4M16.5 16v-4h-4",
  on: "M4 10h11m-4.5-4.500L15 10l-4.5 4.5",
  up: "M6.500 9v7M3.500 9h3v7h-3zM6.500 9.500 10 3.500c1.300 0 2 .8 1.800 2.200L11.300 8.500h4.200a1.300 1.300 0 0 1 1.300 1.600l-1.200 4.900a1.500 1.500 0 0 1-1.500 1H6.500",
  down: "M6.500 11V4M3.500 11h3V4h-3zM6.500 10.500 10 16.500c1.300 0 2-.8 1.800-2.200l-.5-2.800h4.200a1.300 1.300 0 0 0 1.300-1.600l-1.200-4.900a1.500 1.500 0 0 0-1.500-1H6.500",
  hear: "M3.500 8v4h2.500L10 15.500v-11L6 8ZM13 7.500a3.500 3.500 0 0 1 0 5M15 5.500a6.500 6.500 0 0 1 0 9",
  more: "M5 10h.01M10 10h.01M15 10h.01",
  star: "m10 3 2.2 4.500 4.900.7-3.500 3.500.8 4.900L10 14.300l-4.400 2.300.8-4.900L2.900 8.200l4.900-.7Z",
  talk: "M3.5 5.500a2 2 0 0 1 2-2h9a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H9l-3.5 3v-3a2 2 0 0 1-2-2Z",
  why: "M7.6 7.500a2.5 2.5 0 1 1 3.8 2.100c-.9.6-1.4 1.1-1.4 2.100M10 14.600v.1",
};

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", name);
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

export function portrait(character, name) {
  const frame = el("span", { class: "portrait", "aria-hidden": "true" });
  const fallback = () => frame.replaceChildren(character?.emoji || initials(name));
  if (character?.portrait) {
    const image = el("img", { alt: "", src: character.portrait, decoding: "async", loading: "lazy", draggable: "false" });
    image.addEventListener("error", fallback, { once: true });
    frame.append(image);
  } else fallback();
  return frame;
}

const initials = (name) => [...(name || "?").trim()][0]?.toUpperCase() || "?";

// *does something* is set in italics, as everybody writes it in play; the stars themselves are left out.
const DEEDS = /\*{1,2}([^*\n]+)\*{1,2}/g;

export function setWords(node, text) {
  if (!text.includes("*")) {
    node.textContent = text;
    return;
  }
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(DEEDS)) {
    parts.push(text.slice(at, found.index), el("em", {}, found[1]));
    at = found.index + found[0].length;
  }
  parts.push(text.slice(at));
  node.replaceChildren(...parts);
}

export function listNames(names) {
  return new Intl.ListFormat(locale === "zh-CN" ? locale : "en-GB", { type: "conjunction" }).format(names);
}

// Every character its own hue: near the colour of its portrait, and never that of another one.
export function spreadHues(characters) {
  const count = Math.max(12, characters.length);
  const free = new Set(Array.from({ length: count }, (_, i) => i));
  const hues = new Map();
  const distance = (a, b) => Math.min(Math.abs(a - b), count - Math.abs(a - b));
  [...characters].sort((a, b) => (a.slug < b.slug ? -1 : 1)).forEach((character, i) => {
    const wanted = ((hueOf(character.colour) ?? (i * 137.5) % 360) / 360) * count;
    const slot = [...free].sort((a, b) => distance(a, wanted) - distance(b, wanted))[0];
    free.delete(slot);
    hues.set(character.slug, Math.round((slot / count) * 360));
  });
  return hues;
}

function hueOf(colour) {
  const parts = /^#(..)(..)(..)$/.exec(colour || "");
  if (!parts) return null;
  const [r, g, b] = parts.slice(1).map((hex) => parseInt(hex, 16) / 255);
  const high = Math.max(r, g, b), spread = high - Math.min(r, g, b);
  if (spread < 0.06) return null;
  const turn = high === r ? ((g - b) / spread + 6) % 6 : high === g ? (b - r) / spread + 2 : (r - g) / spread + 4;
  return turn * 60 + 25; // the wheel of oklch begins about there
}
