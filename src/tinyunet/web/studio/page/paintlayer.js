/**
 * The paint as pixels: a grid of small canvases, made where something is painted. One large canvas would be copied whole
 * by the browser at each brush move, since it is drawn and changed in turn.
 */

import { UNPAINTED } from "./labels.js";

/** @typedef {import("./labels.js").Labels} Labels */
/** @typedef {import("./labels.js").Rect} Rect */

const TILE = 512;

export class PaintLayer {
  /**
   * @param {Labels} labels
   * @param {Uint32Array} palette
   */
  constructor(labels, palette) {
    this.labels = labels;
    this.palette = palette;
    this.columns = Math.ceil(labels.width / TILE);
    this.rows = Math.ceil(labels.height / TILE);
    /** @type {(CanvasRenderingContext2D | null)[]} */
    this.tiles = new Array(this.columns * this.rows).fill(null);
    this.update({ x: 0, y: 0, width: labels.width, height: labels.height });
  }

  /**
   * Takes over what changed in the labels.
   *
   * @param {Rect} rect
   */
  update({ x, y, width, height }) {
    for (let row = Math.floor(y / TILE); row * TILE < y + height; row++) {
      for (let column = Math.floor(x / TILE); column * TILE < x + width; column++) {
        const left = Math.max(x, column * TILE);
        const top = Math.max(y, row * TILE);
        const right = Math.min(x + width, (column + 1) * TILE);
        const bottom = Math.min(y + height, (row + 1) * TILE);
        this.colour(column, row, { x: left, y: top, width: right - left, height: bottom - top });
      }
    }
  }

  /**
   * @param {number} column
   * @param {number} row
   * @param {Rect} rect - Inside of this tile.
   */
  colour(column, row, { x, y, width, height }) {
    const { labels, palette } = this;
    const index = row * this.columns + column;
    if (!this.tiles[index]) {
      if (!this.painted(x, y, width, height)) return;
      const canvas = document.createElement("canvas");
      canvas.width = Math.min(TILE, labels.width - column * TILE);
      canvas.height = Math.min(TILE, labels.height - row * TILE);
      this.tiles[index] = canvas.getContext("2d");
    }
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let line = 0, i = 0; line < height; line++) {
      const from = (y + line) * labels.width + x;
      for (let at = from; at < from + width; at++, i++) pixels[i] = palette[labels.data[at]];
    }
    this.tiles[index]?.putImageData(image, x - column * TILE, y - row * TILE);
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} width
   * @param {number} height
   */
  painted(x, y, width, height) {
    for (let line = 0; line < height; line++) {
      const from = (y + line) * this.labels.width + x;
      for (let at = from; at < from + width; at++) if (this.labels.data[at] !== UNPAINTED) return true;
    }
    return false;
  }

  /** @param {Uint32Array} palette */
  recolour(palette) {
    this.palette = palette;
    this.update({ x: 0, y: 0, width: this.labels.width, height: this.labels.height });
  }

  /**
   * Calls `visit(canvas, place)` for each tile that holds paint.
   *
   * @param {(canvas: HTMLCanvasElement, place: Rect) => void} visit
   */
  each(visit) {
    this.tiles.forEach((tile, index) => {
      if (!tile) return;
      const x = (index % this.columns) * TILE;
      const y = Math.floor(index / this.columns) * TILE;
      visit(tile.canvas, { x, y, width: tile.canvas.width, height: tile.canvas.height });
    });
  }
}
