/** The studio: follows the server's state and gives each part of the page its share. */

import { follow, inWords, send } from "./api.js";
import { Cell } from "./cell.js";
import { connectClasses, showClasses } from "./classes.js";
import { byId, write } from "./dom.js";
import { hintFor, showHint } from "./hints.js";
import { History } from "./history.js";
import { acceptFiles, addImages, scrollTo, showImages } from "./images.js";
import { connectHelp, connectKeys } from "./keys.js";
import { tell, tellError } from "./notices.js";
import { OpenImage } from "./openimage.js";
import { Outbox } from "./outbox.js";
import { paletteOf } from "./palette.js";
import { connectResults } from "./results.js";
import { settings } from "./settings.js";
import { shortcutsOf } from "./shortcuts.js";
import { connectShow } from "./show.js";
import { Stage } from "./stage.js";
import { connectTraining, showTraining } from "./training.js";

/** @typedef {import("./api.js").State} State */
/** @typedef {import("./api.js").Link} Link */

/** Milliseconds after which a view that was moved is taken for what is looked at. */
const STILL = 300;
const KEPT_IMAGE = "tinyunet-studio-image";

/** @type {State | null} */
let state = null;
/** @type {Cell<Link>} */
const link = new Cell(/** @type {Link} */ ("connecting"));
/** @type {Outbox | null} */
let outbox = null;
/** @type {OpenImage | null} */
let open = null;
/** @type {Map<string, History>} */
const histories = new Map();
let corrections = 0;
/** What the server was told last of what is seen. */
let told = "";
/** The next time that it is told. */
let telling = 0;

const stage = new Stage(() => {
  if (open?.predictionNumber.value) corrections++;
  showSteps();
});
const showResults = connectResults();

/** @param {State} next */
function take(next) {
  const first = !state;
  state = next;
  outbox ??= outboxFor(next.folder);
  outbox.setImages(next.images);
  stage.classes = next.classes;
  document.title = `${next.folder} – tinyunet studio`;
  write(byId("folder", HTMLElement), next.folder);
  write(byId("empty-folder", HTMLElement), next.folder);
  byId("empty", HTMLElement).hidden = next.images.length > 0;
  showClasses(next.classes);
  showTraining(next.training);
  showResults(next);
  const info = next.images.find(({ id }) => id === open?.id);
  if (open && info) open.update(info);
  else chooseImage(first);
  open?.recolour(paletteOf(next.classes), settings.value.outline);
  showImages(next, open?.id ?? null, openImage);
  showSteps();
}

/** @param {string} folder */
function outboxFor(folder) {
  const made = new Outbox(folder);
  made.setOnline(link.value !== "gone" && link.value !== "locked");
  made.onSaved = (image, stroke, revision) => {
    if (image === open?.id) open.saved(stroke, revision);
  };
  made.onRefused = (image, detail) => {
    tell(`A stroke was not taken: ${detail}`, { error: true });
    if (image === open?.id) open.merge();
  };
  made.onAdopted = (images) => {
    if (open && images.has(open.id)) open.merge();
  };
  made.progress.watch(showSaved);
  return made;
}

/** @param {boolean} first - At the start of the page, the image that was open before is opened again. */
function chooseImage(first) {
  const images = state?.images ?? [];
  const kept = first ? sessionStorage.getItem(KEPT_IMAGE) : null;
  const wanted = images.find(({ id }) => id === kept) ?? images[0];
  if (wanted) return openImage(wanted.id);
  open?.close();
  open = null;
  stage.show(null);
}

/** @param {string} id */
function openImage(id) {
  const info = state?.images.find((image) => image.id === id);
  if (!state || !outbox || !info || open?.id === id) return;
  open?.close();
  const history = histories.get(id) ?? new History();
  histories.set(id, history);
  const image = new OpenImage(info, {
    outbox,
    history,
    palette: paletteOf(state.classes),
    outline: settings.value.outline,
    draw: (rect) => image === open && stage.view.draw(rect),
    onError: tellError,
  });
  open = image;
  stage.show(image);
  stage.canvas.setAttribute("aria-label", `${info.name}: paint with mouse, pen or finger`);
  image.loading.watch((text) => {
    if (image === open) showLoading(text);
  });
  image.counts.watch(showSteps);
  image.predictionNumber.watch(showSteps);
  image.load();
  image.showDoubt(settings.value.showDoubt);
  sessionStorage.setItem(KEPT_IMAGE, id);
  tellView();
  showImages(state, id, openImage);
  scrollTo(id);
  closePanels();
}

/** Tells the server what is seen: it is predicted first. */
function tellView() {
  if (!open) return;
  const now = { image: open.id, view: stage.view.seen() };
  if (JSON.stringify(now) === told) return;
  told = JSON.stringify(now);
  send("api/focus", now).catch(() => {
    told = "";
  });
}

/** @param {string} text */
function showLoading(text) {
  const place = byId("loading", HTMLElement);
  stage.canvas.setAttribute("aria-busy", String(text !== ""));
  place.hidden = !text;
  write(place, text);
}

/** What can be undone, and what to do next. */
function showSteps() {
  byId("undo", HTMLButtonElement).disabled = !open?.history.has("undo") && !stage.polygon.points.length;
  byId("redo", HTMLButtonElement).disabled = !open?.history.has("redo");
  if (!state) return;
  const here = {
    current: open?.labels ? open.id : null,
    counts: open?.counts.value ?? new Uint32Array(256),
    predicted: open?.prediction !== null && open?.prediction !== undefined,
    corrections,
    open: openImage,
  };
  showHint(link.value === "open" ? hintFor(state, here) : null);
}

/** Says whether everything painted is safe, and if not, why. */
function showSaved() {
  const place = byId("saved", HTMLElement);
  const progress = outbox?.progress.value;
  const strokes = progress?.count === 1 ? "1 stroke" : `${progress?.count} strokes`;
  const kept = progress?.kept ? "kept in this browser" : "kept only as long as this page is open";
  const away =
    link.value === "locked"
      ? "The server was started again: please open the address that it has printed."
      : "The server is away.";
  let [name, text] = ["saved", "All saved"];
  if (link.value === "connecting" && !state) [name, text] = ["saving", "Connecting …"];
  else if (link.value === "gone" || link.value === "locked") {
    name = "stuck";
    text = progress?.count ? `Not saved: ${strokes}, ${kept}. ${away}` : away;
  } else if (progress?.state === "stuck") {
    [name, text] = ["stuck", `Not saved: ${strokes}, ${kept}. ${progress.detail}`];
  } else if (progress?.state === "saving") [name, text] = ["saving", "Saving …"];
  if (name === "stuck" || place.dataset.state === "stuck") write(byId("announced", HTMLElement), text);
  place.dataset.state = name;
  write(place, text);
}

/**
 * Opens the neighbour in the list.
 *
 * @param {number} step
 */
function goBy(step) {
  const images = state?.images ?? [];
  const index = images.findIndex(({ id }) => id === open?.id);
  const next = images[(index + step + images.length) % images.length];
  if (next) openImage(next.id);
}

/** Opens the image where painting helps most. */
function goOn() {
  const { suggestion } = state ?? {};
  if (suggestion && suggestion !== open?.id) openImage(suggestion);
  else goBy(1);
}

/** Panels that lie over the canvas on narrow screens. */
const PANELS = /** @type {const} */ ([
  ["images-toggle", "images-panel"],
  ["more-toggle", "more"],
]);

/** @param {string} [except] */
function closePanels(except) {
  for (const [opener, panel] of PANELS) {
    if (panel === except) continue;
    byId(panel, HTMLElement).classList.remove("open");
    byId(opener, HTMLElement).setAttribute("aria-expanded", "false");
  }
}

function connectPanels() {
  for (const [opener, panel] of PANELS) {
    const button = byId(opener, HTMLButtonElement);
    button.addEventListener("click", () => {
      closePanels(panel);
      const opened = byId(panel, HTMLElement).classList.toggle("open");
      button.setAttribute("aria-expanded", String(opened));
    });
  }
  stage.canvas.addEventListener("pointerdown", () => closePanels());
}

/** @param {File[]} files */
async function addFiles(files) {
  const added = await addImages(files);
  if (added.length && !open) openImage(added[0]);
}

stage.view.onMove.add(() => {
  clearTimeout(telling);
  telling = setTimeout(tellView, STILL);
});

connectClasses();
connectShow();
connectTraining();
connectPanels();
acceptFiles((files) => addFiles(files).catch(tellError));
const shortcuts = shortcutsOf({ stage, goBy, goOn, classes: () => state?.classes ?? [], help: () => showHelp() });
const showHelp = connectHelp(shortcuts);
connectKeys(shortcuts, (held) => stage.gestures.hold(held));

link.watch((now) => {
  outbox?.setOnline(now === "open" || now === "connecting");
  showSaved();
  showSteps();
});
settings.watch((now) => {
  if (state) open?.recolour(paletteOf(state.classes), now.outline);
  open?.showDoubt(now.showDoubt);
});
window.addEventListener("error", (event) => tell(`Something went wrong: ${inWords(event.error ?? event.message)}`, { error: true }));
window.addEventListener("unhandledrejection", (event) => tell(`Something went wrong: ${inWords(event.reason)}`, { error: true }));
window.addEventListener("pagehide", () => open?.end());
window.addEventListener("beforeunload", (event) => {
  open?.end();
  if (outbox?.endangered) event.preventDefault();
});

follow(take, (now) => link.set(now));
