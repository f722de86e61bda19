// Characters heard aloud, where somebody speaks here. Absent, there is no button.

import { Refusal, ask, reach, sentenceOf } from "./api.js";

let context = null, playing = null;

// Marks the page, and its buttons appear.
export async function lookForVoice() {
  const { available } = await ask("/api/voice").catch(() => ({ available: false }));
  document.body.classList.toggle("spoken", available);
  return available;
}

// The greeting of a character, or with {channel, message} a reply of it.
export const hear = (slug, asked) => play(() => reach(`/characters/${encodeURIComponent(slug)}/voice?${new URLSearchParams(asked)}`));

// A second call stops what is heard.
export async function play(asking) {
  if (playing) {
    playing.stop();
    playing = null;
    return;
  }
  context ??= new AudioContext();
  await context.resume();
  const response = await asking();
  if (!response.ok) {
    const answer = await response.json().catch(() => null);
    throw new Refusal(sentenceOf(answer), response.status);
  }
  const sound = context.createBufferSource();
  sound.buffer = await context.decodeAudioData(await response.arrayBuffer());
  sound.connect(context.destination);
  sound.onended = () => { if (playing === sound) playing = null; };
  playing = sound;
  sound.start();
}
