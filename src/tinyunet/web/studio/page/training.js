/** How the training goes: words, figures, two small curves, and the button that pauses it. */

import { send } from "./api.js";
import { byId, make, percent, write } from "./dom.js";
import { tellError } from "./notices.js";

/** @typedef {import("./api.js").Training} Training */
/** @typedef {{seconds: number, loss: number | null, agreement: number | null}} Moment */

const MOST_MOMENTS = 400;
const SPACE = "http://www.w3.org/2000/svg";

/** @type {Moment[]} */
let moments = [];
/** @type {Training | null} */
let last = null;

/** @param {number} seconds */
function duration(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** @param {Training} now */
export function showTraining(now) {
  if (last && JSON.stringify(last) === JSON.stringify(now)) return;
  if (last && (now.step < last.step || now.seconds < last.seconds)) moments = [];
  if (now.step > 0 && (!last || now.step > last.step || now.version !== last.version)) {
    moments.push({ seconds: now.seconds, loss: now.loss, agreement: now.agreement });
    // Every other of the older half goes: the curve's shape stays.
    if (moments.length > MOST_MOMENTS) moments = moments.filter((_, i) => i > MOST_MOMENTS / 2 || i % 2 === 0);
  }
  last = now;
  const detail = byId("training-detail", HTMLElement);
  detail.dataset.state = now.state;
  write(detail, now.detail);
  write(byId("training-run", HTMLElement), ["paused", "failed"].includes(now.state) ? "Play" : "Pause");
  const facts = [
    ["Steps", now.step.toLocaleString("en")],
    ["Time", duration(now.seconds)],
    ["Loss", now.loss === null ? "–" : now.loss.toPrecision(2)],
    ["Agreement", now.agreement === null ? "–" : percent(now.agreement)],
  ];
  const list = byId("training-facts", HTMLElement);
  if (!list.children.length) list.append(...facts.map(([name]) => make("div", {}, make("dt", {}, name), make("dd"))));
  facts.forEach(([, value], i) => write(list.children[i].children[1], value));
  list.hidden = now.step === 0;
  drawCurves();
}

/** Draws what has been seen of the training, if it is more than a point. */
function drawCurves() {
  const losses = moments.flatMap(({ seconds, loss }) => (loss === null ? [] : [{ x: seconds, y: loss }]));
  const shares = moments.flatMap(({ seconds, agreement }) => (agreement === null ? [] : [{ x: seconds, y: agreement }]));
  const figures = [];
  if (losses.length > 2) figures.push(curve("Loss", losses, 0, Math.max(...losses.map(({ y }) => y))));
  if (shares.length > 2) figures.push(curve("Agreement with paint", shares, 0, 1));
  byId("curves", HTMLElement).replaceChildren(...figures);
}

/**
 * @param {string} name
 * @param {{x: number, y: number}[]} points
 * @param {number} low
 * @param {number} high
 */
function curve(name, points, low, high) {
  const first = points[0].x;
  const span = Math.max(1e-9, points[points.length - 1].x - first);
  const path = document.createElementNS(SPACE, "path");
  const place = points.map(({ x, y }) => {
    const across = (100 * (x - first)) / span;
    const up = (100 * (y - low)) / Math.max(1e-9, high - low);
    return `${across.toFixed(2)} ${(100 - up).toFixed(2)}`;
  });
  path.setAttribute("d", `M${place.join("L")}`);
  const svg = document.createElementNS(SPACE, "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  const top = high === 1 ? "100 %" : high.toPrecision(2);
  return make("figure", {}, make("figcaption", {}, make("span", {}, name), make("span", {}, top)), svg);
}

/** Makes the button work. */
export function connectTraining() {
  const button = byId("training-run", HTMLButtonElement);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await send("api/training", { run: ["paused", "failed"].includes(last?.state ?? "") });
    } catch (error) {
      tellError(error);
    }
    button.disabled = false;
  });
}
