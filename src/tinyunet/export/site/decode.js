// A file to pixels: PNG by our own decoder, other formats by the browser's.

import { decodePng, isPng, pngHeader } from "./png.js";
import { Refusal } from "./pixels.js";

/** @typedef {import("./pixels.js").Pixels} Pixels */

/**
 * The pixels of an image file.
 * @param {Blob} file
 * @param {number} most The most pixels it may have.
 * @returns {Promise<Pixels>}
 */
export async function decode(file, most) {
  if (!file.size) throw new Refusal("The file is empty (0 bytes): copy or export it again.");
  const start = new Uint8Array(await file.slice(0, 64).arrayBuffer());
  if (isPng(start)) {
    const { width, height } = pngHeader(start);
    checkSize(width, height, most);
    return decodePng(new Uint8Array(await file.arrayBuffer()));
  }
  const text = String.fromCharCode(...start.subarray(0, 4));
  if (text === "II*\0" || text === "MM\0*" || text === "II+\0" || text === "MM\0+") {
    throw new Refusal("Browsers do not read TIFF: save the image as PNG, which holds 8 and 16 bits without loss.");
  }
  let channels = 4;
  if (start[0] === 0xff && start[1] === 0xd8) {
    const found = jpegHeader(new Uint8Array(await file.arrayBuffer()));
    checkSize(found.width, found.height, most);
    channels = found.components === 1 ? 1 : 3;
  } else if (text.startsWith("BM") && start.length >= 26) {
    const view = new DataView(start.buffer);
    checkSize(Math.abs(view.getInt32(18, true)), Math.abs(view.getInt32(22, true)), most);
  }
  return byBrowser(file, channels, most);
}

/**
 * @param {number} width
 * @param {number} height
 * @param {number} most
 */
function checkSize(width, height, most) {
  if (width * height > most) {
    const [size, limit] = [width * height, most].map((pixels) => (pixels / 1e6).toLocaleString("en", { maximumFractionDigits: 1 }));
    throw new Refusal(`The image has ${width} × ${height} pixels, ${size} million, and this page takes ${limit} million: cut it into smaller ones.`);
  }
}

/**
 * Size and components, as the first frame's header has them.
 * @param {Uint8Array} bytes
 */
function jpegHeader(bytes) {
  const view = new DataView(bytes.buffer);
  for (let at = 2; at + 10 < bytes.length; ) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff) break;
    if (marker === 0xff) at += 1;
    else if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7), components: bytes[at + 9] };
    } else if (marker >= 0xd0 && marker <= 0xd8) at += 2;
    else at += 2 + view.getUint16(at + 2);
  }
  throw new Refusal("The file is damaged or cut off: copy or export it again.");
}

/**
 * Pixels as the browser's decoder has them, in the file's own colours.
 * @param {Blob} file
 * @param {number} channels 1 and 3 as the file has; 4: find out whether it is transparent.
 * @param {number} most
 * @returns {Promise<Pixels>}
 */
async function byBrowser(file, channels, most) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Refusal("The file is no image that this browser can read: save it as PNG.");
  }
  const { width, height } = bitmap;
  checkSize(width, height, most);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Refusal("The image is larger than this browser can draw: save it as PNG.");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  if (channels === 4) {
    let opaque = true;
    for (let i = 3; opaque && i < data.length; i += 4) opaque = data[i] === 255;
    if (!opaque) throw new Refusal("The image is transparent in places: save it as PNG, or without transparency.");
    channels = 3;
  }
  const values = new Uint8Array(width * height * channels);
  for (let i = 0, from = 0; i < values.length; from += 4) {
    for (let c = 0; c < channels; c++) values[i++] = data[from + c];
  }
  return { width, height, channels, values };
}
