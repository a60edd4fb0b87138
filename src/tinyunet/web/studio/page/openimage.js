/** The image that is open: its pictures, its labels, and how these agree with the server's. */

import { Refusal, Unreachable, imagePath, inWords, isPassing, numbered, request } from "./api.js";
import { Cell } from "./cell.js";
import { decode, release } from "./decoder.js";
import { History } from "./history.js";
import { Labels, Recording, UNCHANGED } from "./labels.js";
import { PaintLayer } from "./paintlayer.js";
import { word } from "./palette.js";

/** @typedef {import("./api.js").ImageInfo} ImageInfo */
/** @typedef {import("./labels.js").Patch} Patch */
/** @typedef {import("./labels.js").Rect} Rect */
/** @typedef {import("./labels.js").Stroke} Stroke */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./decoding.js").Picture} Picture */
/** @typedef {import("./png.js").GrayImage} GrayImage */

/** Milliseconds until what failed is tried again. */
const AGAIN = 1000;
const DOUBT_COLOUR = word("#ff4fd8");

export class OpenImage {
  /**
   * @param {ImageInfo} info
   * @param {object} around
   * @param {Outbox} around.outbox
   * @param {History} around.history
   * @param {Uint32Array} around.palette
   * @param {boolean} around.outline
   * @param {(rect?: Rect | null) => void} around.draw
   * @param {(error: unknown) => void} around.onError
   */
  constructor(info, { outbox, history, palette, outline, draw, onError }) {
    this.info = info;
    this.outbox = outbox;
    this.history = history;
    this.palette = palette;
    this.outline = outline;
    this.draw = draw;
    this.onError = onError;
    this.closed = false;
    /** @type {Picture | null} */
    this.image = null;
    /** @type {Uint8Array<ArrayBuffer> | null} */
    this.brightness = null;
    /** @type {Labels | null} */
    this.labels = null;
    /** @type {PaintLayer | null} */
    this.paint = null;
    /** @type {Recording | null} */
    this.recording = null;
    /** Patches of the stroke that is being made, as far as they are on their way already. @type {Patch[]} */
    this.parts = [];
    /** The newest of the server's revisions that the labels contain. */
    this.revision = -1;
    /** Strokes acknowledged while labels were on their way. @type {{stroke: Stroke, revision: number}[] | null} */
    this.acknowledged = null;
    this.stale = false;
    /** @type {Picture | null} */
    this.prediction = null;
    /** @type {GrayImage | null} */
    this.predicted = null;
    /** @type {Cell<number | null>} */
    this.predictionNumber = new Cell(/** @type {number | null} */ (null));
    this.predicting = false;
    /** @type {Picture | null} */
    this.doubt = null;
    this.doubtNumber = -1;
    this.wantsDoubt = false;
    /** Painted pixels of each class. */
    this.counts = new Cell(new Uint32Array(256));
    /** What is still on its way, in words; empty when everything is there. */
    this.loading = new Cell("Loading the image …");
  }

  get id() {
    return this.info.id;
  }

  /** Loads everything; what fails because the server is away or busy is tried again. */
  async load() {
    const parts = await Promise.allSettled([this.loadImage(), this.labels ? null : this.refresh()]);
    if (this.closed) return;
    const failed = parts.find((part) => part.status === "rejected")?.reason;
    this.loading.set(failed ? inWords(failed) : "");
    this.update(this.info);
    if (isPassing(failed)) setTimeout(() => this.closed || this.load(), AGAIN);
  }

  async loadImage() {
    if (this.brightness) return;
    this.loadThumbnail();
    const response = await request(imagePath(this.id, "/pixels.png"));
    const type = response.headers.get("Content-Type") ?? "image/png";
    const { brightness, ...picture } = await decode("image", await response.arrayBuffer(), type);
    if (this.closed) return release(picture);
    this.brightness = brightness;
    release(this.image);
    this.image = picture;
    this.draw();
  }

  /** Something to look at while a large image is on its way. */
  async loadThumbnail() {
    try {
      const response = await request(imagePath(this.id, "/thumbnail.png"));
      const bitmap = await createImageBitmap(await response.blob());
      if (this.closed || this.image) return bitmap.close();
      this.image = { width: bitmap.width, height: bitmap.height, levels: [bitmap] };
      this.draw();
    } catch {
      // The image itself is on its way.
    }
  }

  /**
   * What the server says of this image now.
   *
   * @param {ImageInfo} info
   */
  update(info) {
    this.info = info;
    if (!this.labels) return;
    if (info.labelRevision > this.revision && !this.outbox.waiting(this.id).length) this.merge();
    if (info.predictionNumber !== null) this.predict(info.predictionNumber);
  }

  /**
   * Gets the server's labels and puts our own strokes that it has not seen on them.
   *
   * @throws {Error} If the server does not answer.
   */
  async refresh() {
    if (this.acknowledged) return;
    this.acknowledged = [];
    this.stale = false;
    try {
      const { bytes, number } = await numbered(imagePath(this.id, "/labels.png"), "X-Revision");
      const { width, height, values } = await decode("labels", bytes);
      if (width !== this.info.width || height !== this.info.height) throw new Error("The labels have another size.");
      await this.penUp();
      if (this.closed) return;
      const fresh = new Labels(width, height, values);
      this.revision = number;
      const ours = this.acknowledged.filter(({ revision }) => revision > number);
      for (const { stroke } of ours) fresh.apply(stroke);
      for (const stroke of this.outbox.waiting(this.id)) fresh.apply(stroke);
      this.take(fresh);
      for (const { revision } of ours) this.note(revision);
    } finally {
      this.acknowledged = null;
    }
  }

  async merge() {
    try {
      await this.refresh();
    } catch (error) {
      if (!(error instanceof Unreachable)) this.onError(error);
    }
  }

  /** @param {Labels} fresh */
  take(fresh) {
    if (this.labels && this.paint) {
      const rect = this.labels.replace(fresh.data);
      if (!rect) return;
      this.paint.update(rect);
      this.draw(rect);
    } else {
      this.labels = fresh;
      this.paint = new PaintLayer(fresh, this.palette);
      this.draw();
    }
    this.counts.set(this.labels.counts.slice());
  }

  /** Waits for the end of the stroke that is being made. */
  async penUp() {
    while (this.recording && !this.closed) await new Promise((resolve) => setTimeout(resolve, 100));
  }

  /**
   * The server has stored a stroke of ours.
   *
   * @param {Stroke} stroke
   * @param {number} revision
   */
  saved(stroke, revision) {
    if (this.acknowledged) this.acknowledged.push({ stroke, revision });
    else this.note(revision);
    if (this.stale && !this.outbox.waiting(this.id).length) this.merge();
  }

  /**
   * Our labels contain the stroke of this revision; if those between are not ours, somebody else painted.
   *
   * @param {number} revision
   */
  note(revision) {
    if (revision === this.revision + 1) this.revision = revision;
    else if (revision > this.revision) this.stale = true;
  }

  /** Begins a stroke, if there is something to paint on. */
  begin() {
    if (!this.labels || this.recording) return null;
    this.parts = [];
    this.recording = new Recording(this.labels);
    return this.recording;
  }

  /** Shows what was painted since the last call. */
  show() {
    const rect = this.recording?.takeFresh();
    if (!rect) return;
    this.paint?.update(rect);
    this.draw(rect);
  }

  /** Sends what is painted so far; a long stroke goes in parts, so that little of it is ever unsaved. */
  flush() {
    const patch = this.recording?.finish();
    if (!this.labels || !patch) return;
    this.parts.push(patch);
    this.outbox.add(this.id, { rect: patch.rect, values: patch.after });
    this.recording = new Recording(this.labels);
  }

  /** Ends a stroke; answers how many pixels it changed. */
  end() {
    if (!this.recording) return 0;
    this.show();
    this.flush();
    this.recording = null;
    if (!this.parts.length) return 0;
    this.history.add(this.parts);
    if (this.labels) this.counts.set(this.labels.counts.slice());
    let changed = 0;
    for (const { after } of this.parts) for (const value of after) if (value !== UNCHANGED) changed++;
    return changed;
  }

  /** Takes the stroke that is being made back. */
  cancel() {
    const rect = this.recording?.cancel();
    this.recording = null;
    if (rect) {
      this.paint?.update(rect);
      this.draw(rect);
    }
    if (this.parts.length) {
      this.history.add(this.parts);
      this.turn("undo");
    }
    this.parts = [];
  }

  /**
   * Undoes or redoes a stroke, by one that paints the other values.
   *
   * @param {"undo" | "redo"} direction
   */
  turn(direction) {
    if (!this.labels || this.recording) return;
    for (const patch of this.history.take(direction)) {
      const stroke = this.labels.turn(patch, direction);
      if (!stroke) continue;
      this.labels.apply(stroke);
      this.outbox.add(this.id, stroke);
      this.paint?.update(stroke.rect);
      this.draw(stroke.rect);
    }
    this.counts.set(this.labels.counts.slice());
  }

  /**
   * Fetches a newer prediction; the old one stays until the new one can be drawn.
   *
   * @param {number} number
   */
  async predict(number) {
    if (this.predicting) return;
    if (number === this.predictionNumber.value && (!this.wantsDoubt || number === this.doubtNumber)) return;
    this.predicting = true;
    try {
      if (number !== this.predictionNumber.value) {
        const file = await numbered(imagePath(this.id, `/prediction.png?version=${number}`), "X-Version");
        this.predicted = await decode("labels", file.bytes);
        await this.colourPrediction();
        this.predictionNumber.set(number);
      }
      if (this.wantsDoubt && number !== this.doubtNumber) {
        const { bytes } = await numbered(imagePath(this.id, `/doubt.png?version=${number}`), "X-Version");
        const picture = await decode("doubt", bytes, DOUBT_COLOUR);
        this.doubtNumber = number;
        this.doubt = this.exchange(this.doubt, picture);
      }
    } catch (error) {
      const gone = error instanceof Unreachable || (error instanceof Refusal && error.status === 404);
      if (!gone) this.onError(error);
      number = this.info.predictionNumber ?? number;
    } finally {
      this.predicting = false;
    }
    const newest = this.info.predictionNumber;
    if (!this.closed && newest !== null && newest !== number) this.predict(newest);
  }

  async colourPrediction() {
    if (!this.predicted) return;
    const picture = await decode("classes", this.predicted, this.palette, this.outline);
    this.prediction = this.exchange(this.prediction, picture);
  }

  /**
   * @param {Picture | null} old
   * @param {Picture} picture
   */
  exchange(old, picture) {
    if (this.closed) {
      release(picture);
      return null;
    }
    release(old);
    this.draw();
    return picture;
  }

  /**
   * @param {Uint32Array} palette
   * @param {boolean} outline
   */
  recolour(palette, outline) {
    const colours = palette.some((colour, i) => colour !== this.palette[i]);
    if (!colours && outline === this.outline) return;
    this.palette = palette;
    this.outline = outline;
    if (colours) this.paint?.recolour(palette);
    this.draw();
    this.colourPrediction().catch(this.onError);
  }

  /** @param {boolean} wanted */
  showDoubt(wanted) {
    this.wantsDoubt = wanted;
    if (wanted && this.info.predictionNumber !== null) this.predict(this.info.predictionNumber);
  }

  close() {
    this.end();
    this.closed = true;
    for (const picture of [this.image, this.prediction, this.doubt]) release(picture);
    this.image = this.prediction = this.doubt = null;
  }
}
