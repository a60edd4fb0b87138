/** What can be undone and redone in each image: lists of patches, one list for everything between pen down and up. */

/** @typedef {import("./labels.js").Patch} Patch */

const MOST_BYTES = 96e6;
const MOST_ENTRIES = 300;

/** @param {Patch[]} patches */
const bytesOf = (patches) => patches.reduce((sum, { before }) => sum + 2 * before.length, 0);

export class History {
  constructor() {
    /** @type {Patch[][]} */
    this.done = [];
    /** @type {Patch[][]} */
    this.undone = [];
  }

  /**
   * Keeps what a stroke changed, and forgets the oldest where that gets too much.
   *
   * @param {Patch[]} patches
   */
  add(patches) {
    this.undone = [];
    this.done.push(patches);
    let bytes = this.done.reduce((sum, entry) => sum + bytesOf(entry), 0);
    while (this.done.length > 1 && (bytes > MOST_BYTES || this.done.length > MOST_ENTRIES)) {
      bytes -= bytesOf(/** @type {Patch[]} */ (this.done.shift()));
    }
  }

  /**
   * The patches to be turned next, in the order in which to turn them.
   *
   * @param {"undo" | "redo"} direction
   * @returns {Patch[]}
   */
  take(direction) {
    const [from, to] = direction === "undo" ? [this.done, this.undone] : [this.undone, this.done];
    const patches = from.pop();
    if (!patches) return [];
    to.push(patches);
    return direction === "undo" ? [...patches].reverse() : patches;
  }

  /** @param {"undo" | "redo"} direction */
  has(direction) {
    return (direction === "undo" ? this.done : this.undone).length > 0;
  }
}
