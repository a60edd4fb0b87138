/** A value that says when it changes. */

/** @template T */
export class Cell {
  /** @param {T} value */
  constructor(value) {
    this.value = value;
    /** @type {Set<(value: T, old: T) => void>} */
    this.watchers = new Set();
  }

  /** @param {T} value */
  set(value) {
    const old = this.value;
    if (Object.is(old, value)) return;
    this.value = value;
    for (const watcher of this.watchers) watcher(value, old);
  }

  /**
   * Calls `watcher` now and at each change.
   *
   * @param {(value: T, old: T) => void} watcher
   */
  watch(watcher) {
    this.watchers.add(watcher);
    watcher(this.value, this.value);
  }
}
