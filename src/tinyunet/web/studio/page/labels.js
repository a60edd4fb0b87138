/**
 * The painted labels of one image, and what a stroke changed in them: the values before and after, so that undoing is
 * a stroke like any other.
 */

/** In a label image: nothing is painted here. In a stroke: paint is taken away here. */
export const UNPAINTED = 255;
/** In a stroke: this pixel stays as it is. */
export const UNCHANGED = 254;

const TILE = 128;

/** @typedef {{x: number, y: number, width: number, height: number}} Rect */
/** @typedef {{rect: Rect, values: Uint8Array<ArrayBuffer>}} Stroke - Class ids, UNPAINTED or UNCHANGED. */
/** @typedef {{rect: Rect, before: Uint8Array<ArrayBuffer>, after: Uint8Array<ArrayBuffer>}} Patch */

/**
 * The smallest rectangle around both.
 *
 * @param {Rect | null} a
 * @param {Rect | null} b
 * @returns {Rect | null}
 */
export function union(a, b) {
  if (!a || !b) return a ?? b;
  const x = Math.min(a.x, b.x);
  const y = Math.min(a.y, b.y);
  return {
    x,
    y,
    width: Math.max(a.x + a.width, b.x + b.width) - x,
    height: Math.max(a.y + a.height, b.y + b.height) - y,
  };
}

export class Labels {
  /**
   * @param {number} width
   * @param {number} height
   * @param {Uint8Array<ArrayBuffer>} [data] - Class id of each pixel, row by row.
   */
  constructor(width, height, data = new Uint8Array(width * height).fill(UNPAINTED)) {
    this.width = width;
    this.height = height;
    this.data = data;
    /** How many pixels have each value. */
    this.counts = new Uint32Array(256);
    this.count();
  }

  count() {
    this.counts.fill(0);
    for (let i = 0; i < this.data.length; i++) this.counts[this.data[i]]++;
  }

  /**
   * Puts a stroke in.
   *
   * @param {Stroke} stroke
   */
  apply({ rect, values }) {
    for (let row = 0; row < rect.height; row++) {
      const to = (rect.y + row) * this.width + rect.x;
      const from = row * rect.width;
      for (let x = 0; x < rect.width; x++) {
        const value = values[from + x];
        if (value === UNCHANGED) continue;
        this.counts[this.data[to + x]]--;
        this.counts[value]++;
        this.data[to + x] = value;
      }
    }
  }

  /**
   * The stroke that turns one side of a patch into the other, where the labels still are what the first side says: what
   * somebody painted over it since stays.
   *
   * @param {Patch} patch
   * @param {"undo" | "redo"} direction
   * @returns {Stroke | null} Nothing, if no such pixel is left.
   */
  turn({ rect, before, after }, direction) {
    const [from, to] = direction === "undo" ? [after, before] : [before, after];
    const values = new Uint8Array(from.length).fill(UNCHANGED);
    let some = false;
    for (let row = 0; row < rect.height; row++) {
      const at = (rect.y + row) * this.width + rect.x;
      for (let x = 0, i = row * rect.width; x < rect.width; x++, i++) {
        if (from[i] !== UNCHANGED && this.data[at + x] === from[i]) {
          values[i] = to[i];
          some = true;
        }
      }
    }
    return some ? { rect, values } : null;
  }

  /**
   * Takes over other labels of the same size.
   *
   * @param {Uint8Array<ArrayBuffer>} data
   * @returns {Rect | null} What differs.
   */
  replace(data) {
    const { width, height } = this;
    let [left, top, right, bottom] = [width, height, -1, -1];
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (this.data[i] === data[i]) continue;
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        bottom = y;
      }
    }
    this.data = data;
    this.count();
    return right < 0 ? null : { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
  }
}

/** A stroke while it is made: it paints at once, and keeps what was there before, tile by tile. */
export class Recording {
  /** @param {Labels} labels */
  constructor(labels) {
    this.labels = labels;
    this.columns = Math.ceil(labels.width / TILE);
    /** @type {Map<number, Uint8Array<ArrayBuffer>>} */
    this.kept = new Map();
    /** What was painted since somebody last looked. @type {Rect | null} */
    this.fresh = null;
  }

  /**
   * Paints pixels `left` to `right` (exclusive) of row `y`, as far as they lie in the image.
   *
   * @param {number} y
   * @param {number} left
   * @param {number} right
   * @param {number} value
   */
  span(y, left, right, value) {
    const { width, height, data } = this.labels;
    const from = Math.max(0, left);
    const to = Math.min(width, right);
    if (y < 0 || y >= height || from >= to) return;
    const tileRow = Math.floor(y / TILE) * this.columns;
    for (let column = Math.floor(from / TILE); column <= Math.floor((to - 1) / TILE); column++) {
      if (!this.kept.has(tileRow + column)) this.keep(tileRow + column);
    }
    data.fill(value, y * width + from, y * width + to);
    this.fresh = union(this.fresh, { x: from, y, width: to - from, height: 1 });
  }

  /** What was painted since the last call. */
  takeFresh() {
    const fresh = this.fresh;
    this.fresh = null;
    return fresh;
  }

  /** @param {number} tile */
  keep(tile) {
    const { x, y, width, height } = this.place(tile);
    const before = new Uint8Array(width * height);
    for (let row = 0; row < height; row++) {
      const from = (y + row) * this.labels.width + x;
      before.set(this.labels.data.subarray(from, from + width), row * width);
    }
    this.kept.set(tile, before);
  }

  /**
   * @param {number} tile
   * @returns {Rect}
   */
  place(tile) {
    const x = (tile % this.columns) * TILE;
    const y = Math.floor(tile / this.columns) * TILE;
    return {
      x,
      y,
      width: Math.min(TILE, this.labels.width - x),
      height: Math.min(TILE, this.labels.height - y),
    };
  }

  /**
   * Calls `visit(x, y, before, now)` for each pixel that differs from what it was.
   *
   * @param {(x: number, y: number, before: number, now: number) => void} visit
   */
  changes(visit) {
    for (const [tile, before] of this.kept) {
      const { x, y, width, height } = this.place(tile);
      for (let row = 0, i = 0; row < height; row++) {
        const at = (y + row) * this.labels.width + x;
        for (let column = 0; column < width; column++, i++) {
          const now = this.labels.data[at + column];
          if (now !== before[i]) visit(x + column, y + row, before[i], now);
        }
      }
    }
  }

  /**
   * What this stroke changed, in the smallest rectangle.
   *
   * @returns {Patch | null}
   */
  finish() {
    let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
    this.changes((x, y) => {
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      if (y > bottom) bottom = y;
    });
    if (right < 0) return null;
    const rect = { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
    const before = new Uint8Array(rect.width * rect.height).fill(UNCHANGED);
    const after = before.slice();
    this.changes((x, y, was, now) => {
      const i = (y - top) * rect.width + x - left;
      before[i] = was;
      after[i] = now;
      this.labels.counts[was]--;
      this.labels.counts[now]++;
    });
    return { rect, before, after };
  }

  /**
   * Takes the stroke back.
   *
   * @returns {Rect | null} What is to be drawn again.
   */
  cancel() {
    /** @type {Rect | null} */
    let rect = null;
    for (const [tile, before] of this.kept) {
      const place = this.place(tile);
      for (let row = 0; row < place.height; row++) {
        const to = (place.y + row) * this.labels.width + place.x;
        this.labels.data.set(before.subarray(row * place.width, (row + 1) * place.width), to);
      }
      rect = union(rect, place);
    }
    this.kept.clear();
    return rect;
  }
}
