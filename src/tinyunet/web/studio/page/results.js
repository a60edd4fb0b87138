/** The menu of what comes out: exports of the model, masks, the report. */

import { download } from "./api.js";
import { byId, make } from "./dom.js";
import { tell, tellError } from "./notices.js";

/** @typedef {import("./api.js").State} State */

const FORMATS = [
  { format: "onnx", name: "ONNX", about: "one file, raw pixels in, labels out, for almost any program" },
  { format: "bioimageio", name: "bioimage.io package", about: "for Fiji, napari, ilastik and others that read the Model Zoo" },
  { format: "safetensors", name: "safetensors", about: "weights and configuration, for your own code" },
  { format: "stablehlo", name: "StableHLO", about: "the compiled function, for JAX alone" },
  { format: "web", name: "Web page", about: "a folder of static files that segments in the browser" },
];

/** @param {Record<string, unknown>} body */
const asJson = (body) => ({
  method: "POST",
  body: JSON.stringify(body),
  headers: { "Content-Type": "application/json" },
});

/** Makes the menu. */
export function connectResults() {
  const opener = byId("results", HTMLButtonElement);
  const menu = byId("results-menu", HTMLElement);
  const need = make("p", {}, "There is no model yet: paint a little of two classes, and the first one is there within seconds.");

  /** @param {boolean} open */
  const open = (open) => {
    menu.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
  };

  /**
   * @param {string} name
   * @param {string} about
   * @param {() => Promise<void>} work
   */
  const item = (name, about, work) => {
    const button = make("button", { type: "button" }, make("b", {}, name), make("small", {}, about));
    button.addEventListener("click", async () => {
      open(false);
      opener.focus();
      tell(`${name}: being made …`);
      try {
        await work();
        tell(`${name}: done. Your browser keeps it with its downloads.`);
      } catch (error) {
        tellError(error);
      }
    });
    return button;
  };

  const masks = item("Masks of all images", "as predicted now, in a zip of ordinary label files", () =>
    download("api/labels.zip", {}, "labels.zip"),
  );
  const report = make(
    "a",
    { href: "report", target: "_blank", rel: "noopener" },
    make("b", {}, "Report"),
    make("small", {}, "how the model was trained and what it does, made now"),
  );
  report.addEventListener("click", () => open(false));
  const exports = FORMATS.map(({ format, name, about }) =>
    item(name, about, () => download("api/export", asJson({ format }), `model-${format}`)),
  );
  menu.append(need, make("h3", {}, "Look and keep"), report, masks, make("h3", {}, "Take the model with you"), ...exports);

  opener.addEventListener("click", () => open(menu.hidden !== false));
  window.addEventListener("pointerdown", (event) => {
    if (event.target instanceof Node && !menu.parentElement?.contains(event.target)) open(false);
  });
  menu.parentElement?.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || menu.hidden) return;
    event.stopPropagation();
    open(false);
    opener.focus();
  });

  /** @param {State} state */
  return ({ training }) => {
    const ready = training.version > 0;
    need.hidden = ready;
    report.hidden = !ready;
    for (const button of menu.querySelectorAll("button")) button.disabled = !ready;
  };
}

