/** What each key does. */

import { choose, settings } from "./settings.js";

/** @typedef {import("./stage.js").Stage} Stage */
/** @typedef {import("./api.js").ClassInfo} ClassInfo */
/** @typedef {{keys: string[], label: string[], about: string, run: (key: string) => void}} Shortcut */

/**
 * @param {object} page
 * @param {Stage} page.stage
 * @param {(step: number) => void} page.goBy - To another image of the list.
 * @param {() => void} page.goOn - To the image where painting helps most.
 * @param {() => ClassInfo[]} page.classes
 * @param {() => void} page.help
 * @returns {Shortcut[]}
 */
export function shortcutsOf({ stage, goBy, goOn, classes, help }) {
  /** @param {"showImage" | "showPaint" | "showPrediction" | "showDoubt" | "outline"} key */
  const toggle = (key) => () => choose({ [key]: !settings.value[key] });
  /** @param {import("./settings.js").ToolName} tool */
  const pick = (tool) => () => choose({ tool });
  /** @param {string} digit */
  const pickClass = (digit) => {
    const wanted = classes()[Number(digit) - 1];
    const { tool } = settings.value;
    if (wanted) choose({ label: wanted.id, tool: tool === "eraser" ? "brush" : tool });
  };
  /** @type {Record<string, [number, number]>} */
  const ways = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] };
  return [
    { keys: [..."123456789"], label: ["1", "…", "9"], about: "choose a class", run: pickClass },
    { keys: ["B"], label: ["B"], about: "brush", run: pick("brush") },
    { keys: ["E"], label: ["E"], about: "eraser", run: pick("eraser") },
    { keys: ["P"], label: ["P"], about: "polygon", run: pick("polygon") },
    { keys: ["F"], label: ["F"], about: "fill", run: pick("fill") },
    { keys: ["["], label: ["["], about: "smaller brush", run: () => stage.resizeBrush(0.8) },
    { keys: ["]"], label: ["]"], about: "larger brush", run: () => stage.resizeBrush(1.25) },
    { keys: ["Enter"], label: ["Enter"], about: "close the polygon", run: () => stage.closePolygon() },
    { keys: ["Escape"], label: ["Esc"], about: "drop the polygon", run: () => stage.polygon.cancel() },
    { keys: ["Ctrl+Z"], label: ["Ctrl", "Z"], about: "undo", run: () => stage.turn("undo") },
    { keys: ["Ctrl+Shift+Z", "Ctrl+Y"], label: ["Ctrl", "Shift", "Z"], about: "redo", run: () => stage.turn("redo") },
    { keys: ["+", "="], label: ["+"], about: "zoom in", run: () => stage.view.zoom(1.4) },
    { keys: ["-"], label: ["−"], about: "zoom out", run: () => stage.view.zoom(1 / 1.4) },
    { keys: ["0"], label: ["0"], about: "show the whole image", run: () => stage.view.fit() },
    { keys: ["N"], label: ["N"], about: "the suggested image, or the next", run: goOn },
    { keys: ["ArrowRight", "ArrowDown"], label: ["→", "↓"], about: "next image", run: () => goBy(1) },
    { keys: ["ArrowLeft", "ArrowUp"], label: ["←", "↑"], about: "image before", run: () => goBy(-1) },
    {
      keys: Object.keys(ways).map((key) => `Shift+${key}`),
      label: ["Shift", "arrows"],
      about: "move the picture",
      run: (key) => stage.view.pan(...ways[key.replace("Shift+", "")]),
    },
    { keys: ["Q"], label: ["Q"], about: "prediction on or off", run: toggle("showPrediction") },
    { keys: ["O"], label: ["O"], about: "prediction as outlines", run: toggle("outline") },
    { keys: ["H"], label: ["H"], about: "paint on or off", run: toggle("showPaint") },
    { keys: ["I"], label: ["I"], about: "image on or off", run: toggle("showImage") },
    { keys: ["D"], label: ["D"], about: "doubt on or off", run: toggle("showDoubt") },
    { keys: ["?"], label: ["?"], about: "this page", run: help },
  ];
}
