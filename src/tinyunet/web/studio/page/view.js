/**
 * What is seen of an image: the part in view, and drawing it. Only what changed is drawn again, once per frame.
 */

import { union } from "./labels.js";

/** @typedef {import("./labels.js").Rect} Rect */
/** @typedef {import("./shapes.js").Point} Point */
/** @typedef {import("./decoding.js").Picture} Picture */
/** @typedef {import("./paintlayer.js").PaintLayer} PaintLayer */
/** @typedef {{picture: Picture | null, opacity: number}} PictureLayer */
/**
 * @typedef {object} Scene - What to draw, from back to front.
 * @property {number} width
 * @property {number} height
 * @property {PictureLayer[]} pictures
 * @property {PaintLayer | null} paint
 * @property {number} paintOpacity
 */

const MOST_ZOOM = 64;
const MARGIN = 16;
const NUDGE = 1 / 64;

export class View {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => Scene | null} scene
   */
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) throw new Error("This browser cannot draw.");
    this.context = context;
    /** Size of the canvas on the page, in CSS pixels. */
    this.width = 1;
    this.height = 1;
    /** CSS pixels per pixel of the image, and where the image begins. */
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    /** Whether the whole image is kept in view when the window changes. */
    this.fitted = true;
    /** @type {Rect | null} */
    this.dirty = null;
    this.all = false;
    this.asked = false;
    /** @type {Set<() => void>} */
    this.onMove = new Set();
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  get ratio() {
    return window.devicePixelRatio || 1;
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.x += (width - this.width) / 2;
    this.y += (height - this.height) / 2;
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    if (this.fitted) this.fit();
    else this.moved();
    this.paint();
  }

  /** Shows the whole image. */
  fit() {
    const scene = this.scene();
    if (!scene) return;
    const room = { width: this.width - 2 * MARGIN, height: this.height - 2 * MARGIN };
    const scale = Math.min(room.width / scene.width, room.height / scene.height);
    this.scale = Math.max(0.01, Math.min(scale, 8));
    this.x = (this.width - scene.width * this.scale) / 2;
    this.y = (this.height - scene.height * this.scale) / 2;
    this.fitted = true;
    this.moved();
  }

  /**
   * Zooms, leaving the place at (x, y) of the canvas where it is.
   *
   * @param {number} factor
   * @param {Point} [centre]
   */
  zoom(factor, centre = { x: this.width / 2, y: this.height / 2 }) {
    const scene = this.scene();
    if (!scene) return;
    const least = Math.min(0.5, (0.25 * Math.min(this.width, this.height)) / Math.max(scene.width, scene.height));
    const scale = Math.max(least, Math.min(MOST_ZOOM, this.scale * factor));
    this.x = centre.x - ((centre.x - this.x) * scale) / this.scale;
    this.y = centre.y - ((centre.y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.moved();
  }

  /**
   * @param {number} dx
   * @param {number} dy
   */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.moved();
  }

  /**
   * The part of the image that is in view, in whole pixels; null where there is none.
   *
   * @returns {Rect | null}
   */
  seen() {
    const scene = this.scene();
    if (!scene) return null;
    const from = this.toImage({ x: 0, y: 0 });
    const to = this.toImage({ x: this.width, y: this.height });
    const [x, y] = [Math.max(0, Math.floor(from.x)), Math.max(0, Math.floor(from.y))];
    const [right, bottom] = [Math.min(scene.width, Math.ceil(to.x)), Math.min(scene.height, Math.ceil(to.y))];
    return x < right && y < bottom ? { x, y, width: right - x, height: bottom - y } : null;
  }

  /** Keeps some of the image in view, and draws. */
  moved() {
    const scene = this.scene();
    if (scene) {
      const keep = 48;
      this.x = Math.min(this.width - keep, Math.max(keep - scene.width * this.scale, this.x));
      this.y = Math.min(this.height - keep, Math.max(keep - scene.height * this.scale, this.y));
    }
    this.draw();
    for (const listener of this.onMove) listener();
  }

  /**
   * A place on the canvas as one in the image.
   *
   * @param {Point} place
   * @returns {Point}
   */
  toImage({ x, y }) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  /**
   * @param {Point} point
   * @returns {Point}
   */
  toCanvas({ x, y }) {
    return { x: x * this.scale + this.x, y: y * this.scale + this.y };
  }

  /**
   * Asks for a drawing of this part of the image, or of everything, in the next frame.
   *
   * @param {Rect | null} [rect]
   */
  draw(rect) {
    if (rect) this.dirty = union(this.dirty, rect);
    else this.all = true;
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.asked = false;
    const { context, canvas, dirty, all } = this;
    const scene = this.scene();
    this.dirty = null;
    this.all = false;
    context.save();
    if (!all && dirty) {
      const { x, y, width, height } = this.place(dirty);
      context.beginPath();
      context.rect(x - 2, y - 2, width + 4, height + 4);
      context.clip();
    }
    context.fillStyle = getComputedStyle(canvas).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (scene) this.paintScene(scene);
    context.restore();
  }

  /** @param {Scene} scene */
  paintScene(scene) {
    const { context, canvas } = this;
    const scale = this.scale * this.ratio;
    const whole = this.place({ x: 0, y: 0, width: scene.width, height: scene.height });
    // Where the centre of a pixel of the screen lies between two of the image, drawing a part would choose the other one.
    context.translate(NUDGE, NUDGE);
    for (const { picture, opacity } of scene.pictures) {
      if (!picture || !opacity) continue;
      const level = Math.min(picture.levels.length - 1, Math.max(0, Math.floor(Math.log2(1 / scale))));
      context.globalAlpha = opacity;
      // A thumbnail stands in for an image that is still on its way.
      context.imageSmoothingEnabled = scale < 1 || picture.width < scene.width;
      context.drawImage(picture.levels[level], whole.x, whole.y, whole.width, whole.height);
    }
    if (!scene.paint || !scene.paintOpacity) return;
    context.globalAlpha = scene.paintOpacity;
    context.imageSmoothingEnabled = scale < 1;
    context.imageSmoothingQuality = scale < 0.5 ? "medium" : "low";
    scene.paint.each((tile, rect) => {
      const { x, y, width, height } = this.place(rect);
      if (x < canvas.width && y < canvas.height && x + width > 0 && y + height > 0) {
        context.drawImage(tile, x, y, width, height);
      }
    });
  }

  /**
   * Where a part of the image lies on the canvas, in its own whole pixels: tiles side by side neither overlap nor gape.
   *
   * @param {Rect} rect
   * @returns {Rect}
   */
  place(rect) {
    const scale = this.scale * this.ratio;
    const x = Math.round(this.x * this.ratio + rect.x * scale);
    const y = Math.round(this.y * this.ratio + rect.y * scale);
    return {
      x,
      y,
      width: Math.round(this.x * this.ratio + (rect.x + rect.width) * scale) - x,
      height: Math.round(this.y * this.ratio + (rect.y + rect.height) * scale) - y,
    };
  }
}
