/** What is shown of an image, and how strongly. */

import { byId, make } from "./dom.js";
import { choose, settings } from "./settings.js";

/** @typedef {import("./settings.js").Settings} Settings */

const LAYERS = /** @type {const} */ ([
  { name: "Image", shown: "showImage", opacity: "imageOpacity", hint: "I" },
  { name: "Prediction", shown: "showPrediction", opacity: "predictionOpacity", hint: "Q" },
  { name: "Paint", shown: "showPaint", opacity: "paintOpacity", hint: "H" },
  { name: "Doubt", shown: "showDoubt", opacity: "doubtOpacity", hint: "D" },
]);

/**
 * @param {string} text
 * @param {"showImage" | "showPrediction" | "showPaint" | "showDoubt" | "outline"} key
 * @param {string} shortcut
 */
function toggle(text, key, shortcut) {
  const box = make("input", { type: "checkbox", "aria-keyshortcuts": shortcut });
  box.addEventListener("change", () => choose({ [key]: box.checked }));
  settings.watch((now) => {
    box.checked = now[key];
  });
  return make("label", { title: `${text} (${shortcut})` }, box, text);
}

/** Fills the panel. */
export function connectShow() {
  for (const { name, shown, opacity, hint } of LAYERS) {
    const range = make("input", { type: "range", min: "5", max: "100", step: "5", "aria-label": `Opacity of ${name}` });
    range.addEventListener("input", () => choose({ [opacity]: Number(range.value) }));
    settings.watch((now) => {
      range.value = String(now[opacity]);
      range.disabled = !now[shown];
    });
    const layers = byId("layers", HTMLElement);
    layers.append(make("li", {}, toggle(name, shown, hint), range));
    if (shown === "showPrediction") layers.append(make("li", { class: "sub" }, toggle("outlines only", "outline", "O")));
  }
}
