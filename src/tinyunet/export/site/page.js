// What a visitor sees and does. All that computes is in a worker.

/** @typedef {import("./worker.js").Tell} Tell */
/** @typedef {import("./model.js").ModelInfo} ModelInfo */

/**
 * An element of the page, which is there.
 * @template {HTMLElement} E
 * @param {string} id
 * @param {new () => E} kind
 * @returns {E}
 */
function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`The page has no ${id}.`);
  return found;
}

const view = {
  status: element("status", HTMLElement),
  drop: element("drop", HTMLElement),
  choose: element("choose", HTMLButtonElement),
  file: element("file", HTMLInputElement),
  progress: element("progress", HTMLProgressElement),
  result: element("result", HTMLElement),
  stage: element("stage", HTMLElement),
  image: element("image", HTMLCanvasElement),
  overlay: element("overlay", HTMLCanvasElement),
  caption: element("caption", HTMLElement),
  opacity: element("opacity", HTMLInputElement),
  percent: element("percent", HTMLOutputElement),
  legend: element("legend", HTMLElement),
  download: element("download", HTMLAnchorElement),
  engine: element("engine", HTMLElement),
};

/** @type {ModelInfo | null} */
let info = null;
let job = 0;
let name = "";

/**
 * @param {string} text
 * @param {boolean} error
 */
function say(text, error = false) {
  view.status.textContent = text;
  view.status.classList.toggle("error", error);
}

/**
 * Lets the page's own service worker add the headers of isolation, without which WebAssembly has one thread. The page
 * is loaded once more for it; should that not help, it goes on without.
 * @returns {Promise<boolean>} Whether the page is about to be loaded again.
 */
async function isolate() {
  const tried = "isolation tried";
  try {
    if (globalThis.crossOriginIsolated || !navigator.serviceWorker || sessionStorage.getItem(tried)) return false;
    sessionStorage.setItem(tried, "yes");
    await navigator.serviceWorker.register("coi.js");
    await navigator.serviceWorker.ready;
    location.reload();
    return true;
  } catch {
    return false;
  }
}

/** Starts the part that computes. Made by this page itself, it is under the page's own rule of what may be reached. */
function startWorker() {
  const address = new URL("worker.js", import.meta.url).href;
  const source = new Blob([`import ${JSON.stringify(address)};`], { type: "text/javascript" });
  const worker = new Worker(URL.createObjectURL(source), { type: "module" });
  worker.addEventListener("message", (/** @type {MessageEvent<Tell>} */ { data }) => hear(data));
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    say(`The part of the page that computes has failed${event.message ? `: ${event.message}` : "."} Load it again.`, true);
  });
  const threads = Number(new URLSearchParams(location.search).get("threads")) || null;
  worker.postMessage({ kind: "open", root: new URL(".", import.meta.url).href, threads });
  return worker;
}

/**
 * What the worker tells.
 * @param {Tell} message
 */
function hear(message) {
  if (message.kind === "broken") return say(message.text, true);
  if (message.kind === "ready") {
    info = message.info;
    view.engine.textContent = `Computes with ${message.engine}.`;
    view.choose.disabled = false;
    return say("Ready: choose an image.");
  }
  if (message.job !== job) return;
  switch (message.kind) {
    case "refused":
      view.progress.hidden = true;
      return say(`${name}: ${message.text}`, true);
    case "image":
      draw(view.image, message.shown);
      fit(message.shown);
      view.overlay.getContext("2d")?.clearRect(0, 0, view.overlay.width, view.overlay.height);
      view.caption.textContent = `${name}, ${message.width} × ${message.height} pixels`;
      view.legend.replaceChildren();
      view.download.hidden = true;
      view.result.hidden = false;
      return;
    case "progress":
      view.progress.value = message.done / message.total;
      return say(`Computing: part ${message.done} of ${message.total} …`);
    case "done":
      draw(view.overlay, message.shown);
      showLegend(message.counts);
      offer(message.mask);
      view.progress.hidden = true;
      return say(summary(message.objects, message.seconds));
  }
}

/**
 * @param {number} objects
 * @param {number} seconds
 */
function summary(objects, seconds) {
  const time = `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return info?.objects ? `Done in ${time}: ${objects} object${objects === 1 ? "" : "s"}.` : `Done in ${time}.`;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {ImageData} shown
 */
function draw(canvas, shown) {
  canvas.width = shown.width;
  canvas.height = shown.height;
  canvas.getContext("2d")?.putImageData(shown, 0, 0);
}

/**
 * Shows an image as large as the window lets it, but a small one not as a few large squares.
 * @param {ImageData} shown
 */
function fit({ width, height }) {
  view.stage.style.maxWidth = `min(${8 * width}px, ${(75 * width) / height}vh)`;
  view.stage.classList.toggle("small", width < 600);
}

/** @param {number[]} counts Pixels of each class. */
function showLegend(counts) {
  if (info === null) return;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const rows = info.classes.map(({ name: label, color }, id) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.backgroundColor = color;
    head.append(swatch, label);
    const share = document.createElement("td");
    share.textContent = `${((100 * counts[id]) / total).toFixed(1)} %`;
    row.append(head, share);
    return row;
  });
  view.legend.replaceChildren(...rows);
}

/** @param {Blob} mask */
function offer(mask) {
  if (view.download.href) URL.revokeObjectURL(view.download.href);
  view.download.href = URL.createObjectURL(mask);
  view.download.download = `${name.replace(/\.[^.]*$/, "")}-mask.png`;
  view.download.hidden = false;
}

/**
 * @param {Worker} worker
 * @param {File | null | undefined} file
 */
function take(worker, file) {
  if (!file || info === null) return;
  job += 1;
  name = file.name || "image";
  view.progress.value = 0;
  view.progress.hidden = false;
  say(`Reading ${name} …`);
  worker.postMessage({ kind: "segment", job, file });
}

/** @param {Worker} worker */
function listen(worker) {
  view.choose.addEventListener("click", () => view.file.click());
  view.file.addEventListener("change", () => {
    take(worker, view.file.files?.[0]);
    view.file.value = ""; // so that the same file may be chosen again
  });
  for (const kind of /** @type {const} */ (["dragenter", "dragover"])) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      view.drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) view.drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    view.drop.classList.remove("over");
    take(worker, event.dataTransfer?.files[0]);
  });
  document.addEventListener("paste", (event) => take(worker, event.clipboardData?.files[0]));
  view.opacity.addEventListener("input", () => {
    view.overlay.style.opacity = String(Number(view.opacity.value) / 100);
    view.percent.value = `${view.opacity.value} %`;
  });
}

if (!(await isolate())) listen(startWorker());
