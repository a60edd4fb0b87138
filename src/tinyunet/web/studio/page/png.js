/**
 * Exact 8-bit gray PNG files, written and read without a canvas: a canvas may change values (colour profiles, alpha), and
 * these values are class ids.
 */

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const GRAY = 0;

/** @typedef {{width: number, height: number, values: Uint8Array<ArrayBuffer>}} GrayImage */

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});

/** @param {Uint8Array} bytes */
function crc32(bytes) {
  let rest = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) rest = CRC_TABLE[(rest ^ bytes[i]) & 0xff] ^ (rest >>> 8);
  return ~rest >>> 0;
}

/**
 * One chunk: length, name, data, checksum.
 *
 * @param {string} name
 * @param {Uint8Array} data
 */
function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {GenericTransformStream} transform
 */
async function through(bytes, transform) {
  const stream = new Blob([bytes]).stream().pipeThrough(/** @type {ReadableWritablePair} */ (transform));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * A PNG of `width` x `height` gray values, its rows unfiltered: strokes are long runs of one value.
 *
 * @param {GrayImage} image
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function encodeGray({ width, height, values }) {
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) rows.set(values.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([8, GRAY, 0, 0, 0], 8);
  const packed = await through(rows, new CompressionStream("deflate"));
  const parts = [
    new Uint8Array(SIGNATURE),
    chunk("IHDR", head),
    chunk("IDAT", packed),
    chunk("IEND", new Uint8Array(0)),
  ];
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    file.set(part, end);
    end += part.length;
  }
  return file;
}

/**
 * The values of an 8-bit gray PNG.
 *
 * @param {Uint8Array<ArrayBuffer>} file
 * @returns {Promise<GrayImage>}
 * @throws {Error} If it is no PNG, or not 8-bit gray without interlacing.
 */
export async function decodeGray(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (SIGNATURE.some((byte, i) => file[i] !== byte)) throw new Error("The server's answer is not a PNG.");
  let width = 0;
  let height = 0;
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const packed = [];
  for (let at = 8; at + 12 <= file.length; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (name === "IHDR") {
      width = view.getUint32(at + 8);
      height = view.getUint32(at + 12);
      const [depth, colour, , , interlace] = file.subarray(at + 16, at + 21);
      if (depth !== 8 || colour !== GRAY || interlace) {
        throw new Error(`A PNG of labels must be 8-bit gray, got ${depth} bits of colour type ${colour}.`);
      }
    } else if (name === "IDAT") packed.push(file.subarray(at + 8, at + 8 + length));
    else if (name === "IEND") break;
    at += 12 + length;
  }
  const rows = await through(new Uint8Array(await new Blob(packed).arrayBuffer()), new DecompressionStream("deflate"));
  if (rows.length !== (width + 1) * height) throw new Error("A PNG of labels is cut short.");
  return { width, height, values: unfiltered(rows, width, height) };
}

/**
 * Undoes the five filters of PNG for pixels of one byte.
 *
 * @param {Uint8Array} rows - Each row after the byte that names its filter.
 * @param {number} width
 * @param {number} height
 */
function unfiltered(rows, width, height) {
  const values = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const from = y * (width + 1) + 1;
    const to = y * width;
    const up = to - width;
    const filter = rows[from - 1];
    if (filter === 0) {
      values.set(rows.subarray(from, from + width), to);
      continue;
    }
    for (let x = 0; x < width; x++) {
      const left = x ? values[to + x - 1] : 0;
      const above = y ? values[up + x] : 0;
      let guess = 0;
      if (filter === 1) guess = left;
      else if (filter === 2) guess = above;
      else if (filter === 3) guess = (left + above) >> 1;
      else if (filter === 4) guess = paeth(left, above, x && y ? values[up + x - 1] : 0);
      else throw new Error(`A PNG names the filter ${filter}, which there is not.`);
      values[to + x] = rows[from + x] + guess;
    }
  }
  return values;
}

/**
 * Of three neighbours, the one nearest to left + above - corner.
 *
 * @param {number} left
 * @param {number} above
 * @param {number} corner
 */
function paeth(left, above, corner) {
  const toLeft = Math.abs(above - corner);
  const toAbove = Math.abs(left - corner);
  const toCorner = Math.abs(left + above - 2 * corner);
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}
