/** Colours of classes, as words of memory that an ImageData takes. */

/** @typedef {import("./api.js").ClassInfo} ClassInfo */

/**
 * Red, green and blue of "#rrggbb" in one word, without alpha.
 *
 * @param {string} color
 */
export function word(color) {
  const [, red, green, blue] = /^#(..)(..)(..)$/.exec(color) ?? ["", "80", "80", "80"];
  return (parseInt(blue, 16) << 16) | (parseInt(green, 16) << 8) | parseInt(red, 16);
}

/**
 * The colour of each value of a label image: opaque for classes, clear for everything else. Words are little-endian, as
 * on every machine with a browser today.
 *
 * @param {ClassInfo[]} classes
 */
export function paletteOf(classes) {
  const palette = new Uint32Array(256);
  for (const { id, color } of classes) palette[id] = (word(color) | 0xff000000) >>> 0;
  return palette;
}

const SUGGESTED = ["#3b6fb6", "#e0752d", "#3a9a5b", "#b5478f", "#c9a227", "#2aa6b3", "#8a5fc7", "#c2453e"];

/**
 * A colour that no class has yet.
 *
 * @param {ClassInfo[]} classes
 */
export function freshColor(classes) {
  const taken = new Set(classes.map(({ color }) => color.toLowerCase()));
  return SUGGESTED.find((color) => !taken.has(color)) ?? SUGGESTED[classes.length % SUGGESTED.length];
}
