/** The canvas with its tools: brings pen, tool and open image together. */

import { byId, write } from "./dom.js";
import { listen } from "./gestures.js";
import { tell } from "./notices.js";
import { SIZE, brushSize, choose, settings } from "./settings.js";
import { Brush, ERASE, Fill, Polygon } from "./tools.js";
import { View } from "./view.js";

/** @typedef {import("./openimage.js").OpenImage} OpenImage */
/** @typedef {import("./settings.js").ToolName} ToolName */
/** @typedef {import("./shapes.js").Point} Point */
/** @typedef {import("./api.js").ClassInfo} ClassInfo */

/** A fill of more than this share of an image may well be a slip. */
const MUCH = 0.5;

export class Stage {
  /** @param {() => void} onStroke - Called after each stroke. */
  constructor(onStroke) {
    this.onStroke = onStroke;
    /** @type {OpenImage | null} */
    this.open = null;
    /** @type {ClassInfo[]} */
    this.classes = [];
    /** @type {Point | null} */
    this.pointer = null;
    this.canvas = byId("canvas", HTMLCanvasElement);
    this.lines = byId("lines", HTMLCanvasElement);
    this.cursor = byId("cursor", HTMLElement);
    this.view = new View(this.canvas, () => this.scene());
    this.polygon = new Polygon({ show: (points) => this.showLine(points), scale: () => this.view.scale });
    /** @type {Record<ToolName, import("./tools.js").Tool>} */
    this.tools = {
      brush: new Brush(() => settings.value.label),
      eraser: new Brush(() => ERASE),
      polygon: this.polygon,
      fill: new Fill((share) => {
        if (share > MUCH) tell(`That filled ${Math.round(100 * share)} % of the image.`, { action: this.undoAction });
      }),
    };
    /** The tool of the stroke that is being made. */
    this.held = this.tool;
    this.gestures = listen(this.view, {
      down: (point, pressure, erasing) => {
        this.held = erasing ? this.tools.eraser : this.tool;
        if (this.open) this.held.down(this.open, point, this.felt(pressure));
      },
      move: (point, pressure) => this.open && this.held.move(this.open, point, this.felt(pressure)),
      up: () => {
        if (this.open) this.held.up(this.open);
        this.onStroke();
      },
      cancel: () => this.held.cancel(),
      hover: (place) => this.hover(place),
      seen: () => {
        byId("pressure-option", HTMLElement).hidden = false;
      },
    });
    this.view.onMove.add(() => {
      write(byId("zoom-value", HTMLElement), `${Math.round(100 * this.view.scale)} %`);
      this.hover(this.pointer);
      if (this.polygon.points.length) this.showLine(this.polygon.points);
    });
    this.connectButtons();
    settings.watch((now, old) => {
      if (now.tool !== old.tool) this.polygon.cancel();
      this.showTool();
      this.view.draw();
    });
  }

  get tool() {
    return this.tools[settings.value.tool];
  }

  get size() {
    return brushSize(this.open?.info ?? null);
  }

  get undoAction() {
    return { label: "Undo", run: () => this.turn("undo") };
  }

  /** @param {number} pressure */
  felt(pressure) {
    return settings.value.pressure ? pressure : 1;
  }

  /** @param {OpenImage | null} image */
  show(image) {
    this.polygon.cancel();
    this.open = image;
    this.canvas.classList.toggle("blank", !image);
    this.showTool();
    this.view.fit();
    this.view.draw();
  }

  /** @returns {import("./view.js").Scene | null} */
  scene() {
    const { open } = this;
    if (!open) return null;
    const now = settings.value;
    /**
     * @param {boolean} shown
     * @param {number} percent
     */
    const opacity = (shown, percent) => (shown ? percent / 100 : 0);
    const predicted = opacity(now.showPrediction, now.predictionOpacity);
    return {
      width: open.info.width,
      height: open.info.height,
      pictures: [
        { picture: open.image, opacity: opacity(now.showImage, now.imageOpacity) },
        { picture: open.doubt, opacity: opacity(now.showDoubt, now.doubtOpacity) },
        { picture: open.prediction, opacity: now.outline ? Math.sqrt(predicted) : predicted },
      ],
      paint: open.paint,
      paintOpacity: opacity(now.showPaint, now.paintOpacity),
    };
  }

  /** @param {"undo" | "redo"} direction */
  turn(direction) {
    if (settings.value.tool === "polygon" && direction === "undo" && this.polygon.points.length) this.polygon.back();
    else this.open?.turn(direction);
    this.onStroke();
  }

  closePolygon() {
    this.polygon.close();
    this.onStroke();
  }

  /** @param {number} factor */
  resizeBrush(factor) {
    const { size } = this;
    const next = factor > 1 ? Math.max(size + 1, Math.floor(size * factor)) : Math.min(size - 1, Math.ceil(size * factor));
    choose({ size: Math.min(SIZE.most, Math.max(SIZE.least, next)) });
  }

  /**
   * Shows where and how large the brush is.
   *
   * @param {Point | null} place
   */
  hover(place) {
    this.pointer = place;
    const { size } = this;
    const { tool } = settings.value;
    if (this.polygon.points.length) this.showLine(this.polygon.points);
    const shown = place !== null && this.open !== null && (tool === "brush" || tool === "eraser");
    this.cursor.hidden = !shown;
    if (!shown) return;
    const across = Math.max(3, size * this.view.scale);
    const { style } = this.cursor;
    style.width = style.height = `${across}px`;
    style.transform = `translate(${place.x - across / 2}px, ${place.y - across / 2}px)`;
    style.borderColor = tool === "eraser" ? "#fff" : this.colour;
  }

  get colour() {
    return this.classes.find(({ id }) => id === settings.value.label)?.color ?? "#fff";
  }

  /**
   * Draws the polygon so far.
   *
   * @param {Point[]} points
   */
  showLine(points) {
    const { lines, view } = this;
    const context = lines.getContext("2d");
    if (!context || (!points.length && lines.width === 1)) return;
    lines.width = points.length ? view.canvas.width : 1;
    lines.height = points.length ? view.canvas.height : 1;
    if (!points.length) return;
    context.scale(view.ratio, view.ratio);
    context.lineJoin = "round";
    const places = points.map((point) => view.toCanvas(point));
    const next = this.pointer ? [this.pointer] : [];
    for (const [colour, width] of /** @type {const} */ ([["#000a", 4], [this.colour, 2]])) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      for (const { x, y } of [...places, ...next]) context.lineTo(x, y);
      context.stroke();
    }
    context.fillStyle = "#fff";
    context.strokeStyle = "#000a";
    context.lineWidth = 1;
    for (const { x, y } of [places[0], places[places.length - 1]]) {
      context.beginPath();
      context.arc(x, y, 5, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    }
  }

  /** Buttons, sliders and options follow the settings. */
  showTool() {
    const { size } = this;
    const { tool, tolerance, pressure } = settings.value;
    for (const button of byId("tool-buttons", HTMLElement).querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    }
    const brush = tool === "brush" || tool === "eraser";
    byId("size-option", HTMLElement).hidden = !brush;
    byId("tolerance-option", HTMLElement).hidden = tool !== "fill";
    byId("polygon-option", HTMLElement).hidden = tool !== "polygon";
    // Equal steps of the slider are equal factors.
    byId("size", HTMLInputElement).value = String(Math.round((100 * Math.log(size)) / Math.log(SIZE.most)));
    write(byId("size-value", HTMLElement), `${size} px`);
    byId("tolerance", HTMLInputElement).value = String(tolerance >= 255 ? 100 : tolerance);
    write(byId("tolerance-value", HTMLElement), tolerance >= 255 ? "up to paint" : `± ${tolerance}`);
    byId("pressure", HTMLInputElement).checked = pressure;
    this.canvas.classList.toggle("exact", !brush);
    this.hover(this.pointer);
  }

  connectButtons() {
    const { view } = this;
    for (const button of byId("tool-buttons", HTMLElement).querySelectorAll("button")) {
      button.addEventListener("click", () => choose({ tool: /** @type {ToolName} */ (button.dataset.tool) }));
    }
    const size = byId("size", HTMLInputElement);
    size.addEventListener("input", () => choose({ size: Math.round(SIZE.most ** (Number(size.value) / 100)) }));
    const tolerance = byId("tolerance", HTMLInputElement);
    tolerance.addEventListener("input", () => {
      choose({ tolerance: tolerance.value === "100" ? 255 : Number(tolerance.value) });
    });
    const pressure = byId("pressure", HTMLInputElement);
    pressure.addEventListener("change", () => choose({ pressure: pressure.checked }));
    byId("undo", HTMLElement).addEventListener("click", () => this.turn("undo"));
    byId("redo", HTMLElement).addEventListener("click", () => this.turn("redo"));
    byId("zoom-in", HTMLElement).addEventListener("click", () => view.zoom(1.4));
    byId("zoom-out", HTMLElement).addEventListener("click", () => view.zoom(1 / 1.4));
    byId("zoom-fit", HTMLElement).addEventListener("click", () => view.fit());
    // After a click the space bar shall move the picture, and not press the button again.
    for (const place of [byId("stage", HTMLElement), byId("side", HTMLElement)]) {
      place.addEventListener("click", (event) => {
        const pressed = document.activeElement;
        if (event.detail === 0 || !pressed?.matches("button, input[type=radio], input[type=checkbox]")) return;
        if (place.contains(pressed) && !pressed.closest("form")) this.canvas.focus({ preventScroll: true });
      });
    }
  }
}
