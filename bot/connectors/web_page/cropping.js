// A picture in a square: moved, made larger, and given away as the server takes it.

const SIDE = 768; // pixels of what is sent
const STEP = 12;

export class Cropping {
  #bitmap = null; #x = 0.5; #y = 0.5; #zoom = 1; #fresh = false;

  constructor(canvas, zoom, zooming) {
    this.canvas = canvas;
    this.zoom = zoom;
    this.zooming = zooming;
    let from = null;
    canvas.addEventListener("pointerdown", (e) => { from = e; canvas.setPointerCapture(e.pointerId); });
    canvas.addEventListener("pointermove", (e) => {
      if (!from || !this.#bitmap) return;
      const scale = canvas.width / canvas.clientWidth;
      this.#move((from.clientX - e.clientX) * scale, (from.clientY - e.clientY) * scale);
      from = e;
    });
    canvas.addEventListener("pointerup", () => { from = null; });
    canvas.addEventListener("keydown", (e) => {
      const way = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[e.key];
      if (!way || !this.#bitmap) return;
      e.preventDefault();
      this.#move(...way);
    });
    zoom.addEventListener("input", () => { this.#zoom = zoom.valueAsNumber; this.#fresh = true; this.#paint(); });
  }

  // A file or blob that somebody chose; it is sent with the next save. Rejects when it is no picture.
  async show(blob, { whole = false } = {}) {
    this.#bitmap = await createImageBitmap(blob);
    [this.#x, this.#y, this.#zoom, this.#fresh] = [0.5, 0.5, 1, true];
    this.zoom.value = 1;
    this.zooming.hidden = whole;
    this.#paint();
  }

  // The portrait that the character has: shown, and not sent again.
  async showAddress(address) {
    const response = await fetch(address);
    if (!response.ok) return;
    await this.show(await response.blob(), { whole: true });
    this.#fresh = false;
  }

  // What is seen, as base64; null when it is what the server has.
  async picture() {
    if (!this.#bitmap || !this.#fresh) return null;
    const out = new OffscreenCanvas(SIDE, SIDE);
    this.#draw(out);
    const bytes = new Uint8Array(await (await out.convertToBlob({ type: "image/jpeg", quality: 0.92 })).arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(text);
  }

  #move(dx, dy) {
    const side = this.#side, perPixel = side / this.canvas.width;
    this.#x = this.#within(this.#x + (dx * perPixel) / this.#bitmap.width, side / this.#bitmap.width);
    this.#y = this.#within(this.#y + (dy * perPixel) / this.#bitmap.height, side / this.#bitmap.height);
    this.#fresh = true;
    this.#paint();
  }

  get #side() { return Math.min(this.#bitmap.width, this.#bitmap.height) / this.#zoom; }
  #within(middle, share) { return Math.min(1 - share / 2, Math.max(share / 2, middle)); }
  #paint() { this.#draw(this.canvas); }

  #draw(canvas) {
    const { width, height } = this.#bitmap, side = this.#side;
    this.#x = this.#within(this.#x, side / width);
    this.#y = this.#within(this.#y, side / height);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(this.#bitmap, this.#x * width - side / 2, this.#y * height - side / 2, side, side, 0, 0, canvas.width, canvas.height);
  }
}
