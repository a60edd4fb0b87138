/** One small hint at a time: what to do next. */

import { nameOf } from "./classes.js";
import { byId, icon, make } from "./dom.js";
import { choose, settings } from "./settings.js";

/** @typedef {import("./api.js").State} State */
/** @typedef {{text: string, action?: {label: string, run: () => void}}} Hint */

/** Strokes after the first prediction from which on nobody needs to be told to correct. */
const ENOUGH = 6;

/**
 * @param {State} state
 * @param {object} here
 * @param {string | null} here.current - The image that is open.
 * @param {Uint32Array} here.counts - Its painted pixels of each class.
 * @param {boolean} here.predicted - Whether a prediction of it is shown.
 * @param {number} here.corrections - Strokes since the first prediction.
 * @param {(id: string) => void} here.open
 * @returns {Hint | null}
 */
export function hintFor(state, { current, counts, predicted, corrections, open }) {
  const { classes, images, suggestion, training } = state;
  const painted = classes.filter(({ id }) => counts[id] > 0);
  const anything = painted.length > 0 || images.some((info) => info.painted > 0);
  if (!current) return null;
  if (training.version === 0 && training.state === "waiting") {
    if (classes.length < 2) return { text: "Add a second class: a segmenter tells at least two things apart." };
    if (!anything) {
      const names = classes.slice(0, 3).map(({ name }) => `“${name}”`);
      return { text: `Paint a little of each class: a short stroke of ${names.join(" and one of ")} is enough to begin.` };
    }
    const missing = classes.find(({ id }) => counts[id] === 0);
    if (painted.length === 1 && missing) return { text: `Good. Now a stroke of “${nameOf(classes, missing.id)}”.` };
    return null;
  }
  if (training.state === "paused" || training.state === "failed") return null;
  if (!predicted) {
    if (!anything) return null;
    return { text: "Training has started: a first prediction appears here within seconds. You can go on painting." };
  }
  if (corrections < ENOUGH) {
    return { text: "Look where the prediction is wrong, and paint the right class there. It learns while you look." };
  }
  const next = images.find(({ id }) => id === suggestion);
  if (next && next.id !== current) {
    return { text: `The model is least certain in ${next.name}.`, action: { label: "Go there (N)", run: () => open(next.id) } };
  }
  return null;
}

let shown = "";

/** @param {Hint | null} hint */
export function showHint(hint) {
  const place = byId("hint", HTMLElement);
  const text = settings.value.hints && hint ? hint.text : "";
  place.hidden = !text;
  if (text === shown) return;
  shown = text;
  if (!hint || !text) return;
  const close = make("button", { type: "button", class: "plain", "aria-label": "No more hints", title: "No more hints" }, icon("close"));
  close.addEventListener("click", () => {
    choose({ hints: false });
    place.hidden = true;
  });
  const line = make("p", {}, hint.text);
  const { action } = hint;
  if (action) {
    const button = make("button", { type: "button", class: "link" }, action.label);
    button.addEventListener("click", action.run);
    line.append(" ", button);
  }
  place.replaceChildren(line, close);
}
