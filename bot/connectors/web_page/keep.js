// What a browser keeps of its visitor.

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
