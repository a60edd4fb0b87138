// Images as arrays, and what the network wants of their channels: `ChannelRule.apply` of tinyunet.data.normalise.

/**
 * Pixels as a file holds them, channels last.
 * @typedef {object} Pixels
 * @property {number} height
 * @property {number} width
 * @property {number} channels
 * @property {Uint8Array | Uint8ClampedArray | Uint16Array} values
 */

/**
 * Which channels are used; see `ChannelRule`.
 * @typedef {{drop_alpha: boolean, collapse_grey: boolean, used: number}} ChannelRule
 */

/** Something that a visitor can be told in these words. */
export class Refusal extends Error {}

/** @type {Record<number, string>} */
const KINDS = { 1: "grey", 3: "RGB" };

/**
 * The image with the channels that the network uses, as the training was given them.
 * @param {Pixels} image
 * @param {ChannelRule} rule
 * @returns {Pixels}
 */
export function useChannels(image, rule) {
  let kept = image;
  if ((kept.channels === 2 || kept.channels === 4) && kept.channels !== rule.used) {
    if (!isOpaque(kept)) {
      if (rule.drop_alpha) throw new Refusal("The image is transparent in places: save it without transparency.");
    } else if (rule.drop_alpha || rule.used in KINDS) {
      kept = keep(kept, kept.channels - 1);
    }
  }
  if (kept.channels === 3 && rule.used === 1) {
    if (isGrey(kept)) kept = keep(kept, 1);
    else if (rule.collapse_grey) {
      throw new Refusal("The image is in colour, and the model was trained on grey ones: convert it to grey.");
    }
  }
  if (kept.channels === rule.used) return kept;
  const wanted = KINDS[rule.used] ?? `an image of ${rule.used} channels`;
  throw new Refusal(
    `The image has ${image.channels} channel${image.channels > 1 ? "s" : ""} and the model wants ${rule.used}: ` +
      `convert it to ${wanted}.`,
  );
}

/** @param {Pixels} image */
function isOpaque({ values, channels }) {
  const full = values instanceof Uint16Array ? 65535 : 255;
  for (let i = channels - 1; i < values.length; i += channels) if (values[i] !== full) return false;
  return true;
}

/** @param {Pixels} image */
function isGrey({ values, channels }) {
  for (let i = 0; i < values.length; i += channels) {
    if (values[i] !== values[i + 1] || values[i] !== values[i + 2]) return false;
  }
  return true;
}

/**
 * The first channels of an image.
 * @param {Pixels} image
 * @param {number} count
 * @returns {Pixels}
 */
function keep({ height, width, channels, values }, count) {
  const kept = values instanceof Uint16Array ? new Uint16Array(height * width * count)
                                             : new Uint8Array(height * width * count);
  for (let i = 0, from = 0; i < kept.length; from += channels) {
    for (let c = 0; c < count; c++) kept[i++] = values[from + c];
  }
  return { height, width, channels: count, values: kept };
}

/**
 * What is subtracted from each channel, and what it is divided by, so that it has mean 0 and standard deviation 1;
 * in float64, as `measure` has it. A channel that does not vary becomes 0.
 * @param {Pixels} image
 * @returns {{mean: number[], std: number[]}}
 */
export function measure({ values, channels }) {
  const mean = [];
  const std = [];
  const count = values.length / channels;
  for (let c = 0; c < channels; c++) {
    let sum = 0;
    for (let i = c; i < values.length; i += channels) sum += values[i];
    const middle = sum / count;
    let squares = 0;
    let varies = false;
    for (let i = c; i < values.length; i += channels) {
      squares += (values[i] - middle) ** 2;
      varies ||= values[i] !== values[c];
    }
    mean.push(middle);
    std.push(varies ? Math.sqrt(squares / count) : 0);
  }
  return { mean, std };
}

/**
 * A part of an image as the model takes it: (channels, height, width).
 * @param {Pixels} image
 * @param {{from: number, to: number}} rows
 * @param {{from: number, to: number}} columns
 * @param {{mean: number[], std: number[]} | null} moments Where the page normalises, and not the model.
 */
export function cut(image, rows, columns, moments) {
  const { width, channels, values } = image;
  const out = new Float32Array(channels * (rows.to - rows.from) * (columns.to - columns.from));
  let place = 0;
  for (let c = 0; c < channels; c++) {
    const mean = moments?.mean[c] ?? 0;
    const std = moments?.std[c] ?? 1;
    for (let y = rows.from; y < rows.to; y++) {
      let from = (y * width + columns.from) * channels + c;
      for (let x = columns.from; x < columns.to; x++, from += channels) {
        out[place++] = std > 0 ? (values[from] - mean) / std : 0;
      }
    }
  }
  return out;
}
