// The channel's events: connected while somebody looks, resumed where they ended, tried again ever more patiently.

import { eventsAddress } from "./api.js";

const KINDS = ["turn", "typing", "begin", "edit", "final", "remove", "again", "take", "notice", "awake", "scene", "reset", "resync"];
const FIRST_WAIT = 500, LONGEST_WAIT = 15_000;
// A browser opens six connections to a server, and each open page holds one: a page nobody sees gives its own back.
const HIDDEN_LIMIT = 60_000;

export class Feed {
  #after; #source = null; #timer = 0; #wait = FIRST_WAIT; #hidden = 0;

  constructor({ event, connected, lost }) {
    this.tell = { event, connected, lost };
    document.addEventListener("visibilitychange", () => this.#looked());
    addEventListener("online", () => this.#now());
    addEventListener("pagehide", () => this.#source?.close());
    addEventListener("pageshow", (e) => { if (e.persisted) this.#now(); });
  }

  start(after) {
    this.#after = after;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const source = this.#source = new EventSource(eventsAddress(this.#after));
    source.onopen = () => {
      this.#wait = FIRST_WAIT;
      this.tell.connected();
    };
    source.onerror = () => {
      source.close();
      this.tell.lost();
      this.#timer = setTimeout(() => this.#connect(), this.#wait * (0.75 + Math.random() / 2));
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    };
    for (const kind of KINDS) {
      source.addEventListener(kind, (e) => {
        if (source !== this.#source) return;
        this.#after = e.lastEventId || this.#after;
        this.tell.event(kind, JSON.parse(e.data));
      });
    }
  }

  #now() {
    if (this.#after !== undefined && this.#source?.readyState !== EventSource.OPEN) {
      this.#wait = FIRST_WAIT;
      this.#connect();
    }
  }

  #looked() {
    clearTimeout(this.#hidden);
    if (!document.hidden) return this.#now();
    this.#hidden = setTimeout(() => {
      clearTimeout(this.#timer);
      this.#source?.close();
    }, HIDDEN_LIMIT);
  }
}
