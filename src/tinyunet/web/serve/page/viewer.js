/** The image, what lies over it, and the controls beside them. */

import { fillTable } from "./table.js";

/**
 * @typedef {import("./server.js").Model} Model
 * @typedef {import("./table.js").Row} Row
 * @typedef {object} Shown a prediction, ready to be shown; files are addresses of blobs by name
 * @property {number} width
 * @property {number} height
 * @property {string[]} probabilities
 * @property {number | null} objects
 * @property {number[] | null} shares
 * @property {string[] | null} colors of the classes, as they are shown
 * @property {number} plain the class that is left as it is
 * @property {string[]} notes
 * @property {Map<string, string>} files
 * @property {Row[]} rows
 */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`There is no ${kind.name} ${id}.`);
  return found;
}

export class Viewer {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    /** @type {Shown | null} */
    this.shown = null;
    this.layer = element("layer", HTMLSelectElement);
    this.opacity = element("opacity", HTMLInputElement);
    this.actual = element("actual", HTMLInputElement);
    this.stack = element("stack", HTMLDivElement);
    this.picture = element("picture", HTMLImageElement);
    this.tint = element("tint", HTMLImageElement);
    this.mark = element("mark", HTMLDivElement);
    this.hidden = false;
    this.layer.addEventListener("change", () => this.draw());
    this.opacity.addEventListener("input", () => {
      this.hidden = false;
      this.draw();
    });
    this.actual.addEventListener("change", () => this.size());
  }

  /** Hides what lies over the image, or shows it again. */
  toggle() {
    this.hidden = !this.hidden;
    this.draw();
  }

  /**
   * Shows a prediction.
   * @param {Shown} shown
   * @param {string} name of the image
   */
  show(shown, name) {
    this.shown = shown;
    const before = this.layer.value;
    const layers = [["tint.png", this.model.task === "instances" ? "Objects" : "Classes"]];
    shown.probabilities.forEach((title, k) => layers.push([`probability-${k}.png`, `Probability: ${title}`]));
    this.layer.replaceChildren(
      ...layers.filter(([file]) => shown.files.has(file)).map(([file, title]) => new Option(title, file)),
    );
    this.layer.value = before;
    if (!this.layer.value) this.layer.selectedIndex = 0;
    this.layer.disabled = this.opacity.disabled = this.layer.options.length === 0;
    this.picture.src = shown.files.get("picture.png") ?? "";
    this.picture.alt = `${name}, ${shown.width} by ${shown.height} pixels`;
    this.mark.hidden = true;
    this.size();
    this.draw();
    this.legend();
    this.objects();
  }

  size() {
    if (!this.shown) return;
    const { width, height } = this.shown;
    this.stack.style.aspectRatio = `${width} / ${height}`;
    this.stack.style.width = this.actual.checked
      ? `${width / devicePixelRatio}px`
      : `min(100%, ${Math.round((78 * width) / height)}vh)`;
  }

  draw() {
    if (!this.shown) return;
    const file = this.layer.value;
    const title = this.layer.selectedOptions[0]?.text ?? "";
    this.tint.hidden = this.hidden || !file;
    if (file) {
      this.tint.src = this.shown.files.get(file) ?? "";
      this.tint.alt = file === "tint.png" ? this.described() : `${title}: white is sure`;
    }
    this.tint.style.opacity = String(Number(this.opacity.value) / 100);
    const words = this.hidden ? "hidden" : `${this.opacity.value} %`;
    element("opacity-value", HTMLOutputElement).value = words;
    this.opacity.setAttribute("aria-valuetext", words);
  }

  /** @returns {string} what was found, in words */
  described() {
    const { objects, shares } = this.shown ?? { objects: null, shares: null };
    if (objects !== null) return `${objects} ${objects === 1 ? "object" : "objects"}`;
    if (shares === null) return "";
    return this.model.classes.map(({ name }, k) => `${name} ${percent(shares[k])}`).join(", ");
  }

  legend() {
    const { shares = null, colors = null, plain = 0 } = this.shown ?? {};
    const items = (shares && colors ? this.model.classes : []).map(({ name }, k) => {
      const item = document.createElement("li");
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", "0 0 16 16");
      svg.setAttribute("aria-hidden", "true");
      const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const side of ["width", "height"]) square.setAttribute(side, "16");
      square.setAttribute("fill", k === plain ? "none" : (colors?.[k] ?? "none"));
      svg.append(square);
      item.append(svg, `${name} ${percent(shares?.[k] ?? 0)}`);
      return item;
    });
    element("legend", HTMLUListElement).replaceChildren(...items);
    element("legend", HTMLUListElement).hidden = items.length === 0;
  }

  objects() {
    const { objects, rows } = this.shown ?? { objects: null, rows: [] };
    element("objects", HTMLDivElement).hidden = objects === null || objects === 0;
    element("objects-title", HTMLHeadingElement).textContent = this.described();
    const table = element("table", HTMLTableElement);
    const note = fillTable(table, rows, (row) => this.point(row));
    element("objects-note", HTMLParagraphElement).textContent = note;
  }

  /**
   * Frames an object in the image.
   * @param {Row | null} row
   */
  point(row) {
    this.mark.hidden = row === null;
    if (row === null || !this.shown) return;
    const { width, height } = this.shown;
    const at = (/** @type {string} */ name) => Number(row[name]);
    this.mark.style.top = `${(100 * at("first_y")) / height}%`;
    this.mark.style.left = `${(100 * at("first_x")) / width}%`;
    this.mark.style.height = `${(100 * (at("last_y") - at("first_y") + 1)) / height}%`;
    this.mark.style.width = `${(100 * (at("last_x") - at("first_x") + 1)) / width}%`;
    this.mark.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

/** @param {number} part */
function percent(part) {
  return `${(100 * part).toFixed(1)} %`;
}
