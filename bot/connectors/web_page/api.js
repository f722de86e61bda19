// Requests to the server, and who this browser is.

import { keep } from "./keep.js";
import { heard, t } from "./words.js";

export const channel = new URLSearchParams(location.search).get("channel") || "lobby";
export { keep };
const here = `/api/channels/${encodeURIComponent(channel)}`;

export function freshId() {
  // crypto.randomUUID exists on https and localhost only.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

const person = keep.get("person") || freshId();
keep.set("person", person);

// What the server says, in this language.
export const sentenceOf = (answer) => (answer?.error ? heard(answer.error) : t("That did not work just now. Please try again."));

export class Refusal extends Error {
  // status 0: the server could not be reached, so nobody knows whether it was done.
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
  get mayPass() { return this.status === 0 || this.status >= 500; }
}

export async function reach(address, options = {}) {
  try {
    return await fetch(address, { ...options, headers: { "X-Troupe-Person": person, ...options.headers } });
  } catch {
    throw new Refusal(t("Troupe cannot be reached just now."), 0);
  }
}

export async function ask(address, options = {}) {
  const response = await reach(address, options);
  let answer = null;
  try { answer = await response.json(); } catch { /* a proxy's page, or a connection that ended */ }
  if (!response.ok || answer === null) {
    throw new Refusal(sentenceOf(answer), response.ok ? 0 : response.status);
  }
  return answer;
}

export const json = (body) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
export const file = (body) => ({ method: "POST", headers: { "Content-Type": "application/octet-stream" }, body });

const post = (path, body) => ask(here + path, json(body));

export const look = (name, before) => ask(`${here}?${new URLSearchParams({ name, ...(before ? { before } : {}) })}`);
export const say = (message) => post("/messages", message);
export const stop = () => post("/stop", {});
export const again = (id) => post("/regenerate", { message_id: id });
export const goOn = (id) => post("/continue", { message_id: id });
export const reset = () => post("/reset", {});
export const setAwake = (character, awake) => post("/awake", { character, awake });
export const why = (id) => ask(`${here}/why/${encodeURIComponent(id)}`);
export const take = (id, step) => post("/take", { message_id: id, step });
export const beside = (id) => ask(`${here}/beside/${encodeURIComponent(id)}`);
export const rate = (id, value) => post("/rate", { message_id: id, value });
export const edit = (id, text) => post("/edit", { message_id: id, text });
export const report = (id) => post("/report", { message_id: id });
export const hide = (id) => post("/hide", { message_id: id });
export const privacy = () => ask("/api/privacy");
export const consent = (to, granted) => ask("/api/privacy/consent", json({ to, granted }));
export const lend = (number, agreed) => ask("/api/privacy/likeness", json({ number, agreed }));
export const forgetMe = () => ask("/api/privacy/forget", json({}));
export const rewind = (id) => post("/rewind", { message_id: id });
export const setScene = (text) => post("/scene", { text });
export const memories = () => ask(`${here}/memories`);
export const remember = (character, text) => post("/memories", { character, text, pinned: true });
export const changeMemory = (number, change) => post(`/memories/${number}`, change);
export const forgetMemory = (number) => post(`/memories/${number}/remove`, {});
export const exportAddress = (form) => `${here}/export?${new URLSearchParams({ form })}`;
export const eventsAddress = (after) => `${here}/events?${new URLSearchParams({ after })}`;
