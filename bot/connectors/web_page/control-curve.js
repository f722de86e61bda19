// A loss curve as a drawing: each step, smoothed, and the held-out loss.

import { number, t } from "./words.js";

const SPACE = "http://www.w3.org/2000/svg";
const WIDTH = 640, HEIGHT = 220, LEFT = 46, BOTTOM = 30, TOP = 10, RIGHT = 12;
const SMOOTHING = 0.9; // weight of what came before

export function curve({ trained, held_out: held }, words) {
  const all = [...trained, ...held];
  const xs = all.map(([x]) => x), ys = all.map(([, y]) => y);
  const [lowest, highest] = padded(ys);
  const widest = Math.max(...xs, 0.001);
  const x = (v) => LEFT + (v / widest) * (WIDTH - LEFT - RIGHT);
  const y = (v) => TOP + ((highest - v) / (highest - lowest)) * (HEIGHT - TOP - BOTTOM);
  const line = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");

  const drawing = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img", "aria-label": words });
  for (const value of ticks(lowest, highest)) {
    drawing.append(node("path", { class: "grid", d: `M${LEFT} ${y(value)}H${WIDTH - RIGHT}` }), label(LEFT - 6, y(value) + 4, number(round(value)), "end"));
  }
  drawing.append(label(WIDTH - RIGHT, HEIGHT - 8, `${number(round(widest))} ${t("thousand tokens read")}`, "end"), label(LEFT, HEIGHT - 8, "0", "start"));
  drawing.append(node("path", { class: "step", d: line(trained) }), node("path", { class: "smooth", d: line(smooth(trained)) }), node("path", { class: "held", d: line(held) }));
  for (const [a, b] of held) drawing.append(node("circle", { class: "held", cx: x(a).toFixed(1), cy: y(b).toFixed(1), r: 3 }));
  return drawing;
}

function node(tag, attributes) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function label(x, y, words, anchor) {
  const made = node("text", { x, y, "text-anchor": anchor });
  made.textContent = words;
  return made;
}

function padded(values) {
  const low = Math.min(...values), high = Math.max(...values);
  const room = (high - low || 1) * 0.06;
  return [low - room, high + room];
}

function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high; v += step) found.push(v);
  return found;
}

function smooth(points) {
  let kept = null;
  return points.map(([x, y]) => {
    kept = kept === null ? y : SMOOTHING * kept + (1 - SMOOTHING) * y;
    return [x, kept];
  });
}

const round = (value) => Math.round(value * 100) / 100;
