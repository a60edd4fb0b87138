// PNG, read and written without a canvas: a canvas keeps 8 bits of 16, manages colours and multiplies by alpha, and
// here every value counts.

import { Refusal } from "./pixels.js";

/** @typedef {import("./pixels.js").Pixels} Pixels */

/**
 * What the header says.
 * @typedef {object} Header
 * @property {number} width
 * @property {number} height
 * @property {number} depth Bits of a sample.
 * @property {number} colour 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
 * @property {boolean} interlaced
 */

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** @type {Record<number, number>} Samples of a pixel by kind of colour. */
const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** First row and column, and steps, of the seven passes of an interlaced image. */
const PASSES = [[0, 0, 8, 8], [0, 4, 8, 8], [4, 0, 8, 4], [0, 2, 4, 4], [2, 0, 4, 2], [0, 1, 2, 2], [1, 0, 2, 1]];

const BROKEN = "The file is damaged or cut off: copy or export it again.";

/** @param {Uint8Array} bytes */
export const isPng = (bytes) => SIGNATURE.every((value, i) => bytes[i] === value);

/**
 * The header of a PNG file, which must be one.
 * @param {Uint8Array} bytes
 * @returns {Header}
 */
export function pngHeader(bytes) {
  if (bytes.length < 33) throw new Refusal(BROKEN);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const header = {
    width: view.getUint32(16),
    height: view.getUint32(20),
    depth: bytes[24],
    colour: bytes[25],
    interlaced: bytes[28] === 1,
  };
  const depths = header.colour === 0 ? [1, 2, 4, 8, 16] : header.colour === 3 ? [1, 2, 4, 8] : [8, 16];
  if (!(header.colour in SAMPLES) || !depths.includes(header.depth) || !header.width || !header.height) {
    throw new Refusal(BROKEN);
  }
  return header;
}

/**
 * The pixels of a PNG file: 1, 2 and 4 bits spread over 0 to 255, a palette as its colours, 16 bits as they are.
 * @param {Uint8Array} bytes
 * @returns {Promise<Pixels>}
 */
export async function decodePng(bytes) {
  const header = pngHeader(bytes);
  const { palette, data } = chunks(bytes);
  if (header.colour === 3 && palette === null) throw new Refusal(BROKEN);
  const { width, height, depth } = header;
  const samples = SAMPLES[header.colour];
  const passes = header.interlaced ? PASSES : [[0, 0, 1, 1]];
  const sizes = passes.map(([y, x, down, right]) => ({
    rows: Math.ceil((height - y) / down),
    columns: Math.ceil((width - x) / right),
  }));
  /** @param {number} columns */
  const rowBytes = (columns) => Math.ceil((columns * samples * depth) / 8);
  let expected = 0;
  for (const { rows, columns } of sizes) if (rows && columns) expected += rows * (1 + rowBytes(columns));
  const raw = await inflate(data, expected);
  const values = depth === 16 ? new Uint16Array(width * height * samples) : new Uint8Array(width * height * samples);
  const step = Math.max(1, (samples * depth) / 8);
  let at = 0;
  passes.forEach(([y0, x0, down, right], pass) => {
    const { rows, columns } = sizes[pass];
    if (!rows || !columns) return;
    const length = rowBytes(columns);
    let before = new Uint8Array(length);
    for (let row = 0; row < rows; row++) {
      const line = raw.subarray(at + 1, at + 1 + length);
      unfilter(raw[at], line, before, step);
      const place = ((y0 + row * down) * width + x0) * samples;
      spread(line, values, place, columns, samples, right, depth, header.colour === 3);
      before = line;
      at += 1 + length;
    }
  });
  if (palette === null || header.colour !== 3) return { width, height, channels: samples, values };
  const colours = new Uint8Array(width * height * 3);
  for (let i = 0; i < values.length; i++) {
    if (3 * values[i] + 2 >= palette.length) throw new Refusal(BROKEN);
    for (let c = 0; c < 3; c++) colours[3 * i + c] = palette[3 * values[i] + c];
  }
  return { width, height, channels: 3, values: colours };
}

/**
 * The parts of a file that matter.
 * @param {Uint8Array} bytes
 */
function chunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const data = [];
  /** @type {Uint8Array | null} */
  let palette = null;
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const body = /** @type {Uint8Array<ArrayBuffer>} */ (bytes.subarray(at + 8, at + 8 + length));
    if (body.length < length) break;
    if (kind === "acTL") throw new Refusal("The file is an animation: save one of its images.");
    if (kind === "PLTE") palette = body;
    if (kind === "IDAT") data.push(body);
    if (kind === "IEND") break;
    at += 12 + length;
  }
  return { palette, data };
}

/**
 * Inflates parts of a stream, and stops where more comes out than there can be.
 * @param {Uint8Array<ArrayBuffer>[]} parts
 * @param {number} expected
 */
async function inflate(parts, expected) {
  const out = new Uint8Array(expected);
  let filled = 0;
  const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  try {
    while (filled < expected) {
      const { done, value } = await reader.read();
      if (done) break;
      out.set(value.subarray(0, expected - filled), filled);
      filled += value.length;
    }
  } catch {
    throw new Refusal(BROKEN);
  }
  await reader.cancel();
  if (filled < expected) throw new Refusal(BROKEN);
  return out;
}

/**
 * Undoes the filter of a row, in place.
 * @param {number} filter
 * @param {Uint8Array} line
 * @param {Uint8Array} before The row above, of the same pass.
 * @param {number} step Bytes from a sample to the same of the pixel before.
 */
function unfilter(filter, line, before, step) {
  if (filter > 4) throw new Refusal(BROKEN);
  if (filter === 0) return;
  for (let i = 0; i < line.length; i++) {
    const a = i < step ? 0 : line[i - step];
    const b = before[i];
    if (filter === 1) line[i] += a;
    else if (filter === 2) line[i] += b;
    else if (filter === 3) line[i] += (a + b) >> 1;
    else line[i] += paeth(a, b, i < step ? 0 : before[i - step]);
  }
}

/** @param {number} a @param {number} b @param {number} c */
function paeth(a, b, c) {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/**
 * Puts a row's samples where they belong.
 * @param {Uint8Array} line
 * @param {Uint8Array | Uint16Array} values
 * @param {number} place Of the first sample.
 * @param {number} columns
 * @param {number} samples
 * @param {number} right Pixels from one to the next.
 * @param {number} depth
 * @param {boolean} indices Whether samples stay the numbers they are.
 */
function spread(line, values, place, columns, samples, right, depth, indices) {
  if (depth >= 8) {
    const wide = depth === 16;
    for (let x = 0, from = 0; x < columns; x++, place += right * samples) {
      for (let s = 0; s < samples; s++, from += wide ? 2 : 1) {
        values[place + s] = wide ? (line[from] << 8) | line[from + 1] : line[from];
      }
    }
    return;
  }
  const most = (1 << depth) - 1;
  for (let x = 0; x < columns; x++, place += right) {
    const bit = x * depth;
    const value = (line[bit >> 3] >> (8 - depth - (bit & 7))) & most;
    values[place] = indices ? value : (value * 255) / most;
  }
}

/**
 * A PNG file.
 * @param {number} width
 * @param {number} height
 * @param {Uint8Array | Uint16Array} values Samples, channels last.
 * @param {0 | 2 | 3} colour 0 grey, 2 RGB, 3 indices into `palette`.
 * @param {Uint8Array | null} palette Colours, three numbers each.
 * @returns {Promise<Blob>}
 */
export async function encodePng(width, height, values, colour, palette = null) {
  const wide = values instanceof Uint16Array;
  const length = width * SAMPLES[colour] * (wide ? 2 : 1);
  const rows = new Uint8Array(height * (1 + length)); // each begins with 0: no filter
  for (let y = 0; y < height; y++) {
    const at = y * (1 + length) + 1;
    if (!wide) rows.set(values.subarray((y * length), (y + 1) * length), at);
    else {
      for (let i = 0; i < length / 2; i++) {
        const value = values[(y * length) / 2 + i];
        rows[at + 2 * i] = value >> 8;
        rows[at + 2 * i + 1] = value & 255;
      }
    }
  }
  const packed = new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate")));
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, wide ? 16 : 8);
  header.setUint8(9, colour);
  const parts = [new Uint8Array(SIGNATURE), chunk("IHDR", new Uint8Array(header.buffer))];
  if (palette !== null) parts.push(chunk("PLTE", palette));
  parts.push(chunk("IDAT", new Uint8Array(await packed.arrayBuffer())), chunk("IEND", new Uint8Array(0)));
  return new Blob(parts, { type: "image/png" });
}

/**
 * @param {string} kind
 * @param {Uint8Array} body
 */
function chunk(kind, body) {
  const out = new Uint8Array(12 + body.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  for (let i = 0; i < 4; i++) out[4 + i] = kind.charCodeAt(i);
  out.set(body, 8);
  view.setUint32(8 + body.length, checksum(out.subarray(4, 8 + body.length)));
  return out;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** CRC-32. @param {Uint8Array} bytes */
function checksum(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}
