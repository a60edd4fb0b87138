// The part of the page that computes, so that the other stays alive: it opens the model once, then takes files.

import { decode } from "./decode.js";
import { Refusal, useChannels } from "./pixels.js";
import { fetchChecked, openEngine } from "./runtime.js";
import { colourLabels, maskFile, picture, segment } from "./segment.js";

/**
 * What the page asks.
 * @typedef {{kind: "open", root: string, threads: number | null} | {kind: "segment", job: number, file: Blob}} Ask
 *
 * What it is told. A job is known by its number; of those that came late, only the last is finished.
 * @typedef {{kind: "ready", info: import("./model.js").ModelInfo, engine: string}
 *         | {kind: "broken", text: string}
 *         | {kind: "image", job: number, width: number, height: number, shown: ImageData}
 *         | {kind: "progress", job: number, done: number, total: number}
 *         | {kind: "done", job: number, counts: number[], objects: number, seconds: number, shown: ImageData, mask: Blob}
 *         | {kind: "refused", job: number, text: string}} Tell
 */

const scope = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/** @param {Tell} message */
const tell = (message) => scope.postMessage(message);

/** @type {{info: import("./model.js").ModelInfo, engine: import("./runtime.js").Engine} | null} */
let model = null;
let latest = 0;
/** @type {Promise<void>} */
let before = Promise.resolve();

class Replaced extends Error {}

scope.addEventListener("message", (/** @type {MessageEvent<Ask>} */ { data }) => {
  if (data.kind === "open") {
    open(new URL(data.root), data.threads).catch((error) => tell({ kind: "broken", text: words(error) }));
    return;
  }
  latest = data.job;
  before = before.then(() => run(data.job, data.file));
});

/**
 * Opens the model.
 * @param {URL} root
 * @param {number | null} threads
 */
async function open(root, threads) {
  if (typeof WebAssembly !== "object") throw new Refusal("This browser has no WebAssembly: take a newer one.");
  const answer = await fetch(new URL("model.json", root), { cache: "no-cache" });
  if (!answer.ok) throw new Refusal(`model.json cannot be fetched: ${answer.status} ${answer.statusText}.`);
  const info = /** @type {import("./model.js").ModelInfo} */ (await answer.json());
  const file = await fetchChecked(new URL(info.model.file, root), info.model.integrity);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const engine = await openEngine(info.runtime, root, bytes, info.channels.used, threads);
  model = { info, engine };
  tell({ kind: "ready", info, engine: engine.name });
}

/**
 * @param {number} job
 * @param {Blob} file
 */
async function run(job, file) {
  if (model === null || job !== latest) return;
  const { info, engine } = model;
  try {
    const start = performance.now();
    const whole = await decode(file, info.most_pixels);
    const image = useChannels(whole, info.channels);
    tell({ kind: "image", job, width: image.width, height: image.height, shown: picture(image) });
    const found = await segment(engine, info, image, (done, total) => {
      if (job !== latest) throw new Replaced();
      tell({ kind: "progress", job, done, total });
    });
    const mask = await maskFile(found, info);
    const seconds = (performance.now() - start) / 1000;
    const shown = colourLabels(found, info);
    tell({ kind: "done", job, counts: found.counts, objects: found.objects, seconds, shown, mask });
  } catch (error) {
    if (!(error instanceof Replaced)) tell({ kind: "refused", job, text: words(error) });
  }
}

/**
 * An error as a visitor can read it.
 * @param {unknown} error
 */
function words(error) {
  if (error instanceof Refusal) return error.message;
  if (error instanceof RangeError || /memory|allocat/i.test(String(error))) {
    return "This browser has too little memory for the image: cut it into smaller ones.";
  }
  return `Something failed here: ${error instanceof Error ? error.message : String(error)}`;
}
