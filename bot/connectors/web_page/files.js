// Files in and out of the page.

import { Refusal, reach, sentenceOf } from "./api.js";
import { el } from "./dom.js";

// A plain link would not say who asks.
export async function saveAs(address, name) {
  const response = await reach(address);
  if (!response.ok) {
    const answer = await response.json().catch(() => null);
    throw new Refusal(sentenceOf(answer), response.status);
  }
  offer(await response.blob(), name);
}

export function offer(blob, name) {
  const address = URL.createObjectURL(blob);
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
