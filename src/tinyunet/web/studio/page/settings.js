/** What somebody chose here: tool, class, sizes, what is shown. Kept by this browser between visits. */

import { Cell } from "./cell.js";

const KEY = "tinyunet-studio-settings";

/** @typedef {"brush" | "eraser" | "polygon" | "fill"} ToolName */

const DEFAULTS = {
  tool: /** @type {ToolName} */ ("brush"),
  label: 0,
  /** Diameter of the brush in pixels; 0 follows the image. */
  size: 0,
  tolerance: 16,
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

/**
 * The brush's diameter in an image: a fiftieth of it until somebody chooses.
 *
 * @param {{width: number, height: number} | null} image
 */
export function brushSize(image) {
  const { size } = settings.value;
  if (size) return size;
  return image ? Math.min(80, Math.max(3, Math.round(Math.min(image.width, image.height) / 50))) : 10;
}

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
