// From pixels to labels, part by part, and from labels to what is shown and saved.

import { encodePng } from "./png.js";
import { decodeObjects } from "./objects.js";
import { cut, measure, Refusal } from "./pixels.js";
import { planAxis } from "./tiles.js";

/**
 * @typedef {import("./pixels.js").Pixels} Pixels
 * @typedef {import("./model.js").ModelInfo} ModelInfo
 * @typedef {import("./runtime.js").Engine} Engine
 */

/**
 * What was found in an image.
 * @typedef {object} Found
 * @property {number} height
 * @property {number} width
 * @property {Int32Array | Uint8Array} labels Class ids, or ids of objects, 0 for none.
 * @property {number} objects How many; 0 where there are classes.
 * @property {number[]} counts Pixels of each class.
 */

/**
 * Labels of an image.
 * @param {Engine} engine
 * @param {ModelInfo} info
 * @param {Pixels} image With the channels that are used.
 * @param {(done: number, total: number) => void} progress Called after every part; may throw to stop.
 * @returns {Promise<Found>}
 */
export async function segment(engine, info, image, progress) {
  const { height, width } = image;
  const rows = planAxis(height, info.tiles.height);
  const columns = planAxis(width, info.tiles.width);
  const moments = info.normalisation === "image" ? measure(image) : null;
  const result = info.objects === null ? new Classes(info, height * width) : new Objects(info, height * width);
  let done = 0;
  for (const row of rows) {
    for (const column of columns) {
      const shape = [1, image.channels, row.to - row.from, column.to - column.from];
      const pixels = new engine.ort.Tensor("float32", cut(image, row, column, moments), shape);
      const given = await engine.session.run({ image: pixels }, result.names);
      for (const name of result.names) {
        const { data } = given[name];
        for (let y = row.start; y < row.stop; y++) {
          const from = (y - row.from) * shape[3] + column.start - column.from;
          result.take(name, data, from, y * width + column.start, column.stop - column.start);
        }
        given[name].dispose?.();
      }
      progress(++done, rows.length * columns.length);
    }
  }
  return result.finish(height, width);
}

/** Classes, gathered row by row. */
class Classes {
  /** @param {ModelInfo} info @param {number} size */
  constructor(info, size) {
    this.names = ["labels"];
    this.labels = new Uint8Array(size);
    this.counts = info.label_values.map(() => 0);
    this.places = new Map(info.label_values.map((value, id) => [value, id]));
  }

  /**
   * @param {string} _name
   * @param {Float32Array | Int32Array} data
   * @param {number} from
   * @param {number} to
   * @param {number} count
   */
  take(_name, data, from, to, count) {
    for (let i = 0; i < count; i++) {
      const id = this.places.get(data[from + i]) ?? 0;
      this.labels[to + i] = id;
      this.counts[id] += 1;
    }
  }

  /** @param {number} height @param {number} width @returns {Found} */
  finish(height, width) {
    return { height, width, labels: this.labels, objects: 0, counts: this.counts };
  }
}

/** The maps that objects are found in. */
class Objects {
  /** @param {ModelInfo} info @param {number} size */
  constructor(info, size) {
    this.names = ["core", "foreground"];
    this.rule = info.objects;
    this.maps = { core: new Float32Array(size), foreground: new Float32Array(size) };
  }

  /**
   * @param {string} name
   * @param {Float32Array | Int32Array} data
   * @param {number} from
   * @param {number} to
   * @param {number} count
   */
  take(name, data, from, to, count) {
    (name === "core" ? this.maps.core : this.maps.foreground).set(data.subarray(from, from + count), to);
  }

  /** @param {number} height @param {number} width @returns {Found} */
  finish(height, width) {
    if (this.rule === null) throw new Error("The model says nothing of its objects.");
    const { ids, count } = decodeObjects(this.maps.core, this.maps.foreground, height, width, this.rule);
    let covered = 0;
    for (const id of ids) covered += Number(id > 0);
    return { height, width, labels: ids, objects: count, counts: [ids.length - covered, covered] };
  }
}

/**
 * The mask as a file, with the values that those of the training have; of objects, their numbers in 16 bits.
 * @param {Found} found
 * @param {ModelInfo} info
 * @returns {Promise<Blob>}
 */
export async function maskFile({ height, width, labels, objects }, info) {
  if (info.objects !== null) {
    if (objects > 65535) throw new Refusal(`A PNG file numbers 65,535 objects at most, and these are ${objects}.`);
    return encodePng(width, height, Uint16Array.from(labels), 0);
  }
  if (info.kind === "rgb") {
    const colours = new Uint8Array(3 * labels.length);
    labels.forEach((id, i) => colours.set(info.classes[id].color ? rgb(info.classes[id].value) : [], 3 * i));
    return encodePng(width, height, colours, 2);
  }
  const values = info.classes.map(({ value }) => value);
  if (Math.max(...values) > 255) return encodePng(width, height, Uint16Array.from(labels, (id) => values[id]), 0);
  const bytes = Uint8Array.from(labels, (id) => values[id]);
  if (info.kind !== "palette") return encodePng(width, height, bytes, 0);
  const palette = new Uint8Array(3 * 256);
  for (const { value, color } of info.classes) palette.set(rgb(parseInt(color.slice(1), 16)), 3 * value);
  return encodePng(width, height, bytes, 3, palette);
}

/** @param {number} colour 0xRRGGBB */
const rgb = (colour) => [colour >> 16, (colour >> 8) & 255, colour & 255];

/** Colours of objects, in turn: neighbours mostly differ. */
const OBJECT_COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff"];

/** The longest side of what is shown. */
const SHOWN = 2048;

/**
 * Places of an image that are shown, every one of a small image, and fewer of a large one.
 * @param {number} height
 * @param {number} width
 */
function shownPlaces(height, width) {
  const step = Math.max(1, Math.max(height, width) / SHOWN);
  const size = { height: Math.max(1, Math.floor(height / step)), width: Math.max(1, Math.floor(width / step)) };
  const columns = Int32Array.from({ length: size.width }, (_, x) => Math.min(width - 1, Math.floor((x + 0.5) * step)));
  const rows = Int32Array.from({ length: size.height }, (_, y) => Math.min(height - 1, Math.floor((y + 0.5) * step)));
  return { ...size, rows, columns };
}

/**
 * An image as a screen shows it: from its darkest to its brightest value, all channels alike.
 * @param {Pixels} image
 * @returns {ImageData}
 */
export function picture({ height, width, channels, values }) {
  const places = shownPlaces(height, width);
  const colours = channels < 3 ? 1 : 3;
  let [low, high] = [0, 255];
  if (values instanceof Uint16Array) {
    [low, high] = [65535, 0];
    for (let i = 0; i < values.length; i++) {
      low = Math.min(low, values[i]);
      high = Math.max(high, values[i]);
    }
  }
  const scale = 255 / Math.max(1, high - low);
  const shown = new ImageData(places.width, places.height);
  let at = 0;
  for (const y of places.rows) {
    for (const x of places.columns) {
      const from = (y * width + x) * channels;
      for (let c = 0; c < 3; c++) shown.data[at++] = (values[from + (colours === 1 ? 0 : c)] - low) * scale;
      shown.data[at++] = 255;
    }
  }
  return shown;
}

/**
 * Labels in their colours; what is black, the colour of background, is left clear.
 * @param {Found} found
 * @param {ModelInfo} info
 * @returns {ImageData}
 */
export function colourLabels({ height, width, labels }, info) {
  const places = shownPlaces(height, width);
  const names = info.objects === null ? info.classes.map(({ color }) => color) : OBJECT_COLOURS;
  const colours = names.map((color) => rgb(parseInt(color.slice(1), 16)));
  const shown = new ImageData(places.width, places.height);
  let at = 0;
  for (const y of places.rows) {
    for (const x of places.columns) {
      const id = labels[y * width + x];
      const clear = info.objects === null ? names[id] === "#000000" : id === 0;
      if (!clear) {
        const [r, g, b] = colours[info.objects === null ? id : (id - 1) % colours.length];
        shown.data[at] = r;
        shown.data[at + 1] = g;
        shown.data[at + 2] = b;
        shown.data[at + 3] = 255;
      }
      at += 4;
    }
  }
  return shown;
}
