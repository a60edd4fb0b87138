/** What somebody chose here: tool, class, sizes, what is shown. Kept by this browser between visits. */

import { Cell } from "./cell.js";

const KEY = "tinyunet-studio-settings";

/** @typedef {"brush" | "eraser" | "polygon" | "fill"} ToolName */

const DEFAULTS = {
  tool: /** @type {ToolName} */ ("brush"),
  label: 0,
  size: 12,
  tolerance: 24,
  pressure: false,
  showImage: true,
  showPaint: true,
  showPrediction: true,
  showDoubt: false,
  imageOpacity: 100,
  paintOpacity: 85,
  predictionOpacity: 45,
  doubtOpacity: 70,
  outline: false,
  hints: true,
};

/** @typedef {typeof DEFAULTS} Settings */

export const SIZE = { least: 1, most: 256 };

/** @returns {Settings} */
function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    const known = Object.entries(DEFAULTS).filter(([name, value]) => typeof kept[name] === typeof value);
    return { ...DEFAULTS, ...Object.fromEntries(known.map(([name]) => [name, kept[name]])) };
  } catch {
    return { ...DEFAULTS };
  }
}

/** @type {Cell<Settings>} */
export const settings = new Cell(read());

/** @param {Partial<Settings>} part */
export function choose(part) {
  settings.set({ ...settings.value, ...part });
  try {
    localStorage.setItem(KEY, JSON.stringify(settings.value));
  } catch {
    // A browser that keeps nothing (private windows) still paints.
  }
}
