/** The worker that turns files into pictures to draw, so that a large image never holds up the brush. */

import { decodeGray } from "./png.js";

/** @typedef {import("./png.js").GrayImage} GrayImage */
/** @typedef {{width: number, height: number, levels: ImageBitmap[]}} Picture - Each level half the one before. */
/**
 * @typedef {object} Jobs - What this worker does: name, arguments, answer.
 * @property {(file: ArrayBuffer, type: string) => Promise<Picture & {brightness: Uint8Array<ArrayBuffer>}>} image
 * @property {(file: Uint8Array<ArrayBuffer>) => Promise<GrayImage>} labels
 * @property {(image: GrayImage, palette: Uint32Array, outline: boolean) => Promise<Picture>} classes
 * @property {(file: Uint8Array<ArrayBuffer>, colour: number) => Promise<Picture>} doubt
 */

const SMALLEST = 256;

/**
 * @param {number} width
 * @param {number} height
 */
function surface(width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`This browser has no memory for a picture of ${width} × ${height} pixels.`);
  return context;
}

/**
 * A picture and its halves, for quick and smooth drawing from afar.
 *
 * @param {ImageBitmap} whole
 * @returns {Picture}
 */
function pyramid(whole) {
  const levels = [whole];
  for (let last = whole; Math.max(last.width, last.height) > SMALLEST; last = levels[levels.length - 1]) {
    const [width, height] = [Math.max(1, Math.round(last.width / 2)), Math.max(1, Math.round(last.height / 2))];
    const context = surface(width, height);
    context.drawImage(last, 0, 0, width, height);
    levels.push(context.canvas.transferToImageBitmap());
  }
  return { width: whole.width, height: whole.height, levels };
}

/**
 * Luminance (ITU-R BT.601), blurred a little, so that noise does not stop the fill tool.
 *
 * @param {ImageBitmap} bitmap
 */
function brightnessOf(bitmap) {
  const { width, height } = bitmap;
  const values = new Uint8Array(width * height);
  const rows = Math.max(1, Math.floor(1e6 / width));
  const context = surface(width, Math.min(rows, height));
  for (let top = 0; top < height; top += rows) {
    const part = Math.min(rows, height - top);
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, width, part);
    for (let i = 0, to = top * width; i < data.length; i += 4, to++) {
      values[to] = (77 * data[i] + 150 * data[i + 1] + 29 * data[i + 2]) >> 8;
    }
  }
  return blurred(blurred(values, width, height, 1), width, height, width);
}

/**
 * The mean of each value and its neighbours `step` before and behind, weighted 1 2 1.
 *
 * @param {Uint8Array} values
 * @param {number} width
 * @param {number} height
 * @param {number} step - 1 along rows, the width along columns.
 */
function blurred(values, width, height, step) {
  const out = new Uint8Array(values.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const first = step === 1 ? x === 0 : y === 0;
      const last = step === 1 ? x === width - 1 : y === height - 1;
      out[i] = (values[first ? i : i - step] + 2 * values[i] + values[last ? i : i + step] + 2) >> 2;
    }
  }
  return out;
}

/**
 * @param {Uint32Array<ArrayBuffer>} pixels - As the canvas has them in memory.
 * @param {number} width
 * @param {number} height
 */
async function pictureOf(pixels, width, height) {
  return pyramid(await createImageBitmap(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height)));
}

/** @type {Jobs} */
const jobs = {
  async image(file, type) {
    const blob = new Blob([file], { type });
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
    return { ...pyramid(bitmap), brightness: brightnessOf(bitmap) };
  },

  labels: decodeGray,

  async classes({ width, height, values }, palette, outline) {
    const pixels = new Uint32Array(values.length);
    if (!outline) {
      for (let i = 0; i < values.length; i++) pixels[i] = palette[values[i]];
      return pictureOf(pixels, width, height);
    }
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        const value = values[i];
        const edge =
          (x > 0 && values[i - 1] !== value) ||
          (x < width - 1 && values[i + 1] !== value) ||
          (y > 0 && values[i - width] !== value) ||
          (y < height - 1 && values[i + width] !== value);
        if (edge) pixels[i] = palette[value];
      }
    }
    return pictureOf(pixels, width, height);
  },

  async doubt(file, colour) {
    const { width, height, values } = await decodeGray(file);
    const pixels = new Uint32Array(values.length);
    for (let i = 0; i < values.length; i++) pixels[i] = ((values[i] << 24) | colour) >>> 0;
    return pictureOf(pixels, width, height);
  },
};

/** @typedef {{number: number, job: keyof Jobs, args: any[]}} Call */
/** @typedef {{number: number, answer?: any, error?: string}} Reply */

const port = /** @type {{postMessage(reply: Reply, move: Transferable[]): void}} */ (/** @type {unknown} */ (self));

self.addEventListener("message", async (event) => {
  const { number, job, args } = /** @type {Call} */ (event.data);
  try {
    const run = /** @type {(...args: any[]) => Promise<any>} */ (jobs[job]);
    const answer = await run(...args);
    const bytes = [answer.brightness, answer.values].filter(Boolean).map((/** @type {Uint8Array} */ a) => a.buffer);
    port.postMessage({ number, answer }, [...(answer.levels ?? []), ...bytes]);
  } catch (error) {
    port.postMessage({ number, error: error instanceof Error ? error.message : String(error) }, []);
  }
});
