/** Images go in one after the other; what comes back is shown. */

import { model as askModel, predict, Refusal } from "./server.js";
import { element, Viewer } from "./viewer.js";
import { unzip } from "./zip.js";

/**
 * @typedef {import("./viewer.js").Shown} Shown
 * @typedef {object} Item an image that was chosen
 * @property {File} file
 * @property {string} words what there is to say about it
 * @property {"waiting" | "running" | "done" | "failed"} state
 * @property {Shown | null} shown
 * @property {HTMLButtonElement} button
 */

const TYPES = new Map([["png", "image/png"], ["csv", "text/csv"], ["json", "application/json"], ["tif", "image/tiff"]]);

const input = element("files", HTMLInputElement);
const drop = element("drop", HTMLDivElement);
const status = element("status", HTMLParagraphElement);
const progress = element("progress", HTMLProgressElement);

/** @type {import("./server.js").Model | null} */
let model = null;
/** @type {Viewer | null} */
let viewer = null;
/** @type {Item[]} */
let items = [];
/** @type {Item | null} */
let current = null;
let running = false;
let stop = new AbortController();

start();

async function start() {
  try {
    model = await askModel();
  } catch (error) {
    element("about", HTMLParagraphElement).textContent = "";
    say(words(error), true);
    return;
  }
  viewer = new Viewer(model);
  const { name, task, classes, channels, engine, limits, dimensions } = model;
  const finds = task === "instances" ? "Finds objects" : `Tells apart ${listed(classes.map((one) => one.name))}`;
  const takes = dimensions === 3 ? "volumes" : channels.used === 1 ? "grey images" : `images of ${channels.used} channels`;
  element("name", HTMLHeadingElement).textContent = name;
  document.title = `${name} – tinyunet`;
  element("about", HTMLParagraphElement).textContent =
    `${finds} in ${takes}${engine ? `; computed ${engine}` : ""}.`;
  element("meaning", HTMLSpanElement).textContent =
    task === "instances"
      ? "In the labels, each object has its number, and the rest is 0."
      : "Labels hold the values of the masks that the network has learnt from.";
  const kinds = dimensions === 3 ? "TIFF or NumPy" : "PNG, JPEG, BMP, TIFF or NumPy";
  const megapixels = (limits.max_pixels / 1e6).toFixed(limits.max_pixels < 1e7 ? 1 : 0);
  element("limits", HTMLSpanElement).textContent =
    `${kinds}, up to ${round(limits.max_bytes / 2 ** 20)} MiB and ${megapixels} megapixels each.`;
}

input.addEventListener("change", () => {
  add([...(input.files ?? [])]);
  input.value = "";
});

// The whole window takes what is dropped: a browser would open a file that misses a smaller place.
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const files = [...(event.dataTransfer?.files ?? [])];
  if (files.length > 0) add(files);
  else say("That was no file. Drop images from a folder, or choose them.", true);
});
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length > 0) add(files);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey || event.altKey;
  if (typing || items.length === 0) return;
  if (event.key === "h") viewer?.toggle();
  if (event.key === "j" || event.key === "k") {
    const at = current === null ? -1 : items.indexOf(current);
    const next = items[at + (event.key === "j" ? 1 : -1)];
    if (next) select(next);
  }
});

element("clear", HTMLButtonElement).addEventListener("click", () => {
  stop.abort();
  stop = new AbortController();
  for (const { shown } of items) shown?.files.forEach((address) => URL.revokeObjectURL(address));
  items = [];
  current = null;
  element("images", HTMLOListElement).replaceChildren();
  element("work", HTMLDivElement).hidden = true;
  progress.hidden = true;
  say("");
  input.focus();
});

element("again", HTMLButtonElement).addEventListener("click", () => {
  if (current === null) return;
  tell(current, "waiting", "Waiting");
  run();
});

element("everything", HTMLButtonElement).addEventListener("click", async (event) => {
  const button = event.currentTarget;
  if (current === null || !(button instanceof HTMLButtonElement)) return;
  const { file } = current;
  button.disabled = true;
  say(`Computing everything there is of ${file.name} …`);
  try {
    const address = URL.createObjectURL(await predict(file, "all"));
    const link = document.createElement("a");
    link.href = address;
    link.download = `${stem(file)}.zip`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    say(`${link.download} is ready: labels, probabilities, pictures${current.shown?.objects != null ? ", table" : ""}.`);
  } catch (error) {
    say(words(error), true);
  }
  button.disabled = false;
});

/**
 * Takes images in.
 * @param {File[]} files
 */
function add(files) {
  if (model === null) return;
  const before = items.length;
  for (const file of files) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(document.createElement("strong"), document.createElement("span"));
    const line = document.createElement("li");
    line.append(button);
    element("images", HTMLOListElement).append(line);
    /** @type {Item} */
    const item = { file, words: "", state: "waiting", shown: null, button };
    button.addEventListener("click", () => select(item));
    items.push(item);
    tell(item, "waiting", "Waiting");
    if (file.size > model.limits.max_bytes) {
      tell(item, "failed", `It has ${round(file.size / 2 ** 20)} MiB; at most ${round(model.limits.max_bytes / 2 ** 20)} are taken.`);
    }
  }
  element("work", HTMLDivElement).hidden = items.length === 0;
  if (items.length > before) select(items[before]);
  run();
}

/** Predicts what waits, one image after the other. */
async function run() {
  if (running) return;
  running = true;
  for (let item = next(); item !== undefined; item = next()) await one(item);
  running = false;
  progress.hidden = true;
  if (items.length === 0) return;
  const bad = items.filter(({ state }) => state === "failed").length;
  const done = `${items.length - bad} of ${items.length} ${items.length === 1 ? "image" : "images"} segmented`;
  say(bad > 0 ? `${done}; ${bad} could not be, for a reason that stands beside ${bad === 1 ? "it" : "each"}.` : `${done}.`, bad > 0);
}

function next() {
  return items.find(({ state }) => state === "waiting");
}

/**
 * Predicts one image; waits while the server has too much to do.
 * @param {Item} item
 */
async function one(item) {
  const { signal } = stop;
  const result = model?.results.includes("view") ? "view" : "overlay";
  for (;;) {
    progress.hidden = items.length === 0;
    progress.max = items.length;
    progress.value = items.filter(({ state }) => state === "done" || state === "failed").length;
    tell(item, "running", "Being segmented");
    say(`Segmenting ${item.file.name} (${items.indexOf(item) + 1} of ${items.length}) …`);
    try {
      const answer = await predict(item.file, result, signal);
      item.shown = result === "view" ? await opened(answer) : await asPicture(answer);
      if (signal.aborted) return;
      tell(item, "done", summary(item.shown));
      if (current === null || current === item || current.state !== "done") select(item);
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refusal) || error.retryAfter === 0) {
        tell(item, "failed", words(error));
        return;
      }
      say(`The server is busy; ${item.file.name} is sent again in ${error.retryAfter} s.`);
      tell(item, "running", "The server is busy");
      await new Promise((resolve) => setTimeout(resolve, 1000 * error.retryAfter));
      if (signal.aborted) return;
    }
  }
}

/**
 * A prediction from the files that the server has sent.
 * @param {Blob} answer
 * @returns {Promise<Shown>}
 */
async function opened(answer) {
  const files = unzip(await answer.arrayBuffer());
  const text = (/** @type {string} */ name) => new TextDecoder().decode(files.get(name));
  const addresses = new Map();
  for (const [name, bytes] of files) {
    const type = TYPES.get(name.split(".").pop() ?? "") ?? "";
    addresses.set(name, URL.createObjectURL(new Blob([bytes], { type })));
  }
  const rows = files.has("objects.json") ? JSON.parse(text("objects.json")) : [];
  return { ...JSON.parse(text("view.json")), files: addresses, rows };
}

/**
 * A picture of slices, which is all there is to see of a volume here.
 * @param {Blob} answer
 * @returns {Promise<Shown>}
 */
async function asPicture(answer) {
  const { width, height } = await createImageBitmap(answer);
  const files = new Map([["picture.png", URL.createObjectURL(answer)]]);
  return { width, height, probabilities: [], objects: null, shares: null, colors: null, plain: 0, notes: [], files, rows: [] };
}

/** @param {Shown} shown */
function summary({ objects, width, height }) {
  const size = `${width} × ${height}`;
  return objects === null ? size : `${objects} ${objects === 1 ? "object" : "objects"}, ${size}`;
}

/**
 * Notes what there is to say about an image, where it is the one that is shown also there.
 * @param {Item} item
 * @param {Item["state"]} state
 * @param {string} said
 */
function tell(item, state, said) {
  item.state = state;
  item.words = said;
  const [name, line] = item.button.children;
  name.textContent = item.file.name;
  line.textContent = said;
  line.classList.toggle("bad", state === "failed");
  if (current === item) render();
}

/**
 * Shows one of the images.
 * @param {Item} item
 */
function select(item) {
  current = item;
  for (const { button } of items) button.setAttribute("aria-current", String(button === item.button));
  render();
}

function render() {
  if (current === null) return;
  const { file, shown, state } = current;
  const done = state === "done" && shown !== null;
  element("image-title", HTMLHeadingElement).textContent = file.name;
  element("failure", HTMLParagraphElement).textContent = state === "done" ? "" : current.words;
  element("failure", HTMLParagraphElement).hidden = done;
  element("failure", HTMLParagraphElement).classList.toggle("error", state === "failed");
  element("again", HTMLButtonElement).hidden = state !== "failed";
  element("result", HTMLDivElement).hidden = !done;
  const notes = element("notes", HTMLParagraphElement);
  notes.textContent = done ? shown.notes.join(" ") : "";
  notes.hidden = notes.textContent === "";
  if (!done) return;
  viewer?.show(shown, file.name);
  link("labels", [...shown.files.keys()].find((name) => name.startsWith("labels.")), shown, file, "_labels");
  link("table-file", shown.files.has("objects.csv") ? "objects.csv" : undefined, shown, file, "_objects");
}

/**
 * Points a download at a file; hides it where there is none.
 * @param {string} id
 * @param {string | undefined} name
 * @param {Shown} shown
 * @param {File} file
 * @param {string} end of the name under which it is kept
 */
function link(id, name, shown, file, end) {
  const anchor = element(id, HTMLAnchorElement);
  anchor.hidden = name === undefined;
  if (name === undefined) return;
  anchor.href = shown.files.get(name) ?? "";
  anchor.download = `${stem(file)}${end}.${name.split(".").pop()}`;
}

/** @param {File} file */
function stem(file) {
  return file.name.replace(/\.[^.]*$/, "") || "image";
}

/** @param {number} number */
function round(number) {
  return number < 10 ? Number(number.toFixed(1)) : Math.round(number);
}

/** @param {string[]} names */
function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

/** @param {unknown} error */
function words(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Says how it stands.
 * @param {string} text
 * @param {boolean} [bad]
 */
function say(text, bad = false) {
  status.textContent = text;
  status.classList.toggle("error", bad);
}
