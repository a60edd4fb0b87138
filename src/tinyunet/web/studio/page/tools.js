/** The tools: what a pen that goes down, moves and comes up does to the labels. */

import { UNPAINTED } from "./labels.js";
import { SIZE, brushSize, settings } from "./settings.js";
import { brushCentre, capsule, flood, polygon } from "./shapes.js";

/** @typedef {import("./shapes.js").Point} Point */
/** @typedef {import("./openimage.js").OpenImage} OpenImage */
/**
 * @typedef {object} Tool
 * @property {(image: OpenImage, point: Point, pressure: number) => void} down
 * @property {(image: OpenImage, point: Point, pressure: number) => void} move
 * @property {(image: OpenImage) => void} up
 * @property {() => void} cancel
 */

/** So often a long stroke is sent, in milliseconds. */
const PART = 1200;
/** Movements of the pen below this many pixels of the screen are none. */
const STILL = 4;

/**
 * A round brush; the eraser is one that paints nothing.
 *
 * @implements {Tool}
 */
export class Brush {
  /** @param {() => number} value - What it paints. */
  constructor(value) {
    this.value = value;
    /** @type {OpenImage | null} */
    this.image = null;
    /** @type {Point} */
    this.last = { x: 0, y: 0 };
    this.started = 0;
  }

  /**
   * @param {OpenImage} image
   * @param {Point} point
   * @param {number} pressure - 0 to 1; 1 where the device feels none.
   */
  down(image, point, pressure) {
    if (!image.begin()) return;
    this.image = image;
    this.last = point;
    this.started = performance.now();
    this.move(image, point, pressure);
  }

  /**
   * @param {OpenImage} image
   * @param {Point} point
   * @param {number} pressure
   */
  move(image, point, pressure) {
    const { recording } = image;
    if (this.image !== image || !recording) return;
    const size = Math.max(SIZE.least, Math.round(brushSize(image.info) * pressure));
    const value = this.value();
    capsule(brushCentre(this.last, size), brushCentre(point, size), size / 2, (y, left, right) =>
      recording.span(y, left, right, value),
    );
    this.last = point;
    image.show();
    if (performance.now() - this.started > PART) {
      image.flush();
      this.started = performance.now();
    }
  }

  /** @param {OpenImage} image */
  up(image) {
    if (this.image === image) image.end();
    this.image = null;
  }

  cancel() {
    this.image?.cancel();
    this.image = null;
  }
}

/**
 * A closed line whose inside is painted: corner by corner, or drawn in one go.
 *
 * @implements {Tool}
 */
export class Polygon {
  /**
   * @param {object} around
   * @param {(points: Point[]) => void} around.show - Draws the line so far.
   * @param {() => number} around.scale - Pixels of the screen per pixel of the image.
   */
  constructor({ show, scale }) {
    this.show = show;
    this.scale = scale;
    /** @type {Point[]} */
    this.points = [];
    /** @type {OpenImage | null} */
    this.image = null;
    this.drawn = false;
  }

  /**
   * @param {OpenImage} image
   * @param {Point} point
   */
  down(image, point) {
    if (this.image !== image) this.cancel();
    this.image = image;
    this.drawn = false;
    const [first] = this.points;
    const last = this.points[this.points.length - 1];
    if (this.points.length > 2 && (this.near(first, point, 10) || this.near(last, point, STILL))) return this.close();
    this.points.push(point);
    this.show(this.points);
  }

  /**
   * @param {OpenImage} image
   * @param {Point} point
   */
  move(image, point) {
    const last = this.points[this.points.length - 1];
    if (this.image !== image || !last || this.near(last, point, STILL)) return;
    this.points.push(point);
    this.drawn = true;
    this.show(this.points);
  }

  up() {
    // A line drawn in one go is done when the pen leaves; corners wait for the next one.
    if (this.drawn && this.points.length > 8) this.close();
  }

  /** Paints the inside. */
  close() {
    const { image, points } = this;
    this.points = [];
    this.show([]);
    const recording = points.length > 2 ? image?.begin() : null;
    if (!image || !recording) return;
    polygon(points, image.info.height, (y, left, right) => recording.span(y, left, right, settings.value.label));
    image.end();
  }

  /** Takes the last corner back. */
  back() {
    this.points.pop();
    this.show(this.points);
  }

  cancel() {
    this.points = [];
    this.image = null;
    this.show([]);
  }

  /**
   * @param {Point} a
   * @param {Point} b
   * @param {number} distance - On the screen.
   */
  near(a, b, distance) {
    return Math.hypot(a.x - b.x, a.y - b.y) * this.scale() <= distance;
  }
}

/**
 * Fills what is connected to where the pen goes down, up to paint and to other brightness.
 *
 * @implements {Tool}
 */
export class Fill {
  /** @param {(share: number) => void} told - Called with the share of the image that a fill painted. */
  constructor(told) {
    this.told = told;
  }

  /**
   * @param {OpenImage} image
   * @param {Point} point
   */
  down(image, point) {
    const { width, height } = image.info;
    const { label, tolerance } = settings.value;
    const seed = { x: Math.floor(point.x), y: Math.floor(point.y) };
    if (seed.x < 0 || seed.y < 0 || seed.x >= width || seed.y >= height) return;
    if (!image.labels || image.labels.data[seed.y * width + seed.x] === label) return;
    const recording = image.begin();
    if (!recording) return;
    const limit = tolerance < 255 && image.brightness ? { brightness: image.brightness, tolerance } : null;
    flood(image.labels, seed, limit, (y, left, right) => recording.span(y, left, right, label));
    this.told(image.end() / (width * height));
  }

  move() {}
  up() {}
  cancel() {}
}

export const ERASE = UNPAINTED;
