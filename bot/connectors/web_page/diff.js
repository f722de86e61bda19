// What changed between two texts, word by word.

import { el } from "./dom.js";

const LONGEST = 1500; // words of each side that are compared one by one; behind them the texts stand whole

export function changes(before, after) {
  const a = words(before), b = words(after);
  if (a.length > LONGEST || b.length > LONGEST) return el("p", { dir: "auto" }, el("del", {}, before), "\n", el("ins", {}, after));
  // The longest common subsequence, from the end.
  const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
  }
  const parts = [];
  const say = (kind, word) => {
    if (parts.at(-1)?.kind === kind) parts.at(-1).text += word;
    else parts.push({ kind, text: word });
  };
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { say("same", a[i]); i += 1; j += 1; }
    else if (i < a.length && (j === b.length || best[i + 1][j] >= best[i][j + 1])) { say("del", a[i]); i += 1; }
    else { say("ins", b[j]); j += 1; }
  }
  return el("p", { dir: "auto" }, ...parts.map(({ kind, text }) => (kind === "same" ? text : el(kind, {}, text))));
}

const words = (text) => text.match(/\p{Script=Han}|[^\s\p{Script=Han}]+|\s+/gu) ?? [];
