// Files in and out of the page.

import { Refusal, reach } from "./api.js";
import { el } from "./dom.js";
import { t } from "./words.js";

// A plain link would not say who asks.
export async function saveAs(address, name) {
  const response = await reach(address);
  if (!response.ok) {
    const answer = await response.json().catch(() => null);
    throw new Refusal(answer?.error || t("That did not work just now. Please try again."), response.status);
  }
  offer(await response.blob(), name);
}

export function offer(blob, name) {
  const address = URL.createObjectURL(blob);
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
