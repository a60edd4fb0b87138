// Where an image is cut: `tinyunet.prediction.tiles.plan_axis`, and what of the image the model is given for each part.

/**
 * What a network asks of its tiles along an axis; see `TileSpec`.
 * @typedef {object} TileSpec
 * @property {number[]} ladder Tile sizes, ascending.
 * @property {number} halo Pixels that a tile gives up at an inner border.
 * @property {number} lost Pixels at each end that the network does not give back.
 * @property {number} multiple Shifts by which pooling windows stay the same.
 * @property {number} margin How far a pixel of the result looks.
 */

/**
 * A part of an axis: [start, stop) is kept of the result for [from, to).
 * @typedef {{start: number, stop: number, from: number, to: number}} Part
 */

/**
 * The parts of an axis. Each is given the image as far as its result looks, cut where no pooling window is, so that
 * what the model makes up beyond an inner border is never seen; at the image's own border the model sees just that.
 * @param {number} length Pixels of the image, at least 1.
 * @param {TileSpec} spec
 * @returns {Part[]}
 */
export function planAxis(length, spec) {
  const { multiple, lost, ladder } = spec;
  const tile = ladder.find((size) => size - 2 * lost >= length) ?? ladder[ladder.length - 1];
  const output = tile - 2 * lost;
  const stride = down(output - 2 * (spec.halo - lost), multiple);
  const last = Math.max(0, up(length - output, multiple));
  const begins = [];
  for (let begin = 0; begin < last + stride; begin += stride) begins.push(Math.min(begin, last));
  const cuts = [0];
  for (let i = 1; i < begins.length; i++) cuts.push(Math.floor((begins[i - 1] + begins[i] + output) / 2));
  cuts.push(length);
  return begins.map((_, i) => ({
    start: cuts[i],
    stop: cuts[i + 1],
    from: Math.max(0, down(cuts[i] - spec.margin, multiple)),
    to: Math.min(length, up(cuts[i + 1] + spec.margin, multiple)),
  }));
}

/** @param {number} value @param {number} multiple */
const down = (value, multiple) => Math.floor(value / multiple) * multiple;

/** @param {number} value @param {number} multiple */
const up = (value, multiple) => Math.ceil(value / multiple) * multiple;
