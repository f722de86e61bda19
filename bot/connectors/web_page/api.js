// Requests to the server, and who this browser is.

export const channel = new URLSearchParams(location.search).get("channel") || "lobby";
const here = `/api/channels/${encodeURIComponent(channel)}`;

// A browser may refuse storage (private windows, full disk): the page then works until it is closed.
export const keep = {
  get(key) {
    try { return localStorage.getItem(`troupe.${key}`); } catch { return null; }
  },
  set(key, value) {
    try { localStorage.setItem(`troupe.${key}`, value); } catch { /* nothing to keep it in */ }
  },
  read(key, otherwise) {
    try { return JSON.parse(this.get(key)) ?? otherwise; } catch { return otherwise; }
  },
  write(key, value) { this.set(key, JSON.stringify(value)); },
};

export function freshId() {
  // crypto.randomUUID exists on https and localhost only.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

const person = keep.get("person") || freshId();
keep.set("person", person);

export class Refusal extends Error {
  // status 0: the server could not be reached, so nobody knows whether it was done.
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
  get mayPass() { return this.status === 0 || this.status >= 500; }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(here + path, { ...options, headers: { "X-Troupe-Person": person, ...options.headers } });
  } catch {
    throw new Refusal("Troupe cannot be reached just now.", 0);
  }
  let answer = null;
  try { answer = await response.json(); } catch { /* a proxy's page, or a connection that ended */ }
  if (!response.ok || answer === null) {
    throw new Refusal(answer?.error || "That did not work just now. Please try again.", response.ok ? 0 : response.status);
  }
  return answer;
}

const post = (path, body) => ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const look = (name, before) => ask(`?${new URLSearchParams({ name, ...(before ? { before } : {}) })}`);
export const say = (message) => post("/messages", message);
export const stop = () => post("/stop", {});
export const again = (id) => post("/regenerate", { message_id: id });
export const goOn = (id) => post("/continue", { message_id: id });
export const reset = () => post("/reset", {});
export const setAwake = (character, awake) => post("/awake", { character, awake });
export const why = (id) => ask(`/why/${encodeURIComponent(id)}`);
export const eventsAddress = (after) => `${here}/events?${new URLSearchParams({ after })}`;
