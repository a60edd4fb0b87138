/**
 * Strokes on their way to the server. Each is kept in IndexedDB until the server has said that it is safely on its disk,
 * so that neither a reload nor a server that is away loses paint; sending a stroke twice is harmless, for it has an id.
 */

import { Cell } from "./cell.js";
import { Refusal, imagePath, inWords, isPassing, request } from "./api.js";
import { decodeGray, encodeGray } from "./png.js";

/** @typedef {import("./labels.js").Stroke} Stroke */
/** @typedef {import("./labels.js").Rect} Rect */
/** @typedef {import("./api.js").ImageInfo} ImageInfo */
/**
 * @typedef {object} Parcel
 * @property {string} id
 * @property {string} folder - Which data set it belongs to: several may have been served from one address.
 * @property {string} image
 * @property {string} looks - Name and size of the image: ids may come again in another folder of the same name.
 * @property {number} time
 * @property {Rect} rect
 * @property {Uint8Array<ArrayBuffer>} file - PNG.
 */
/** @typedef {{state: "saved" | "saving" | "stuck", count: number, kept: boolean, detail: string}} Progress */

const SHELF = "strokes";

/** @returns {Promise<IDBDatabase>} */
function openShelf() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("tinyunet-studio", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(SHELF, { keyPath: "id" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
    opening.onblocked = () => reject(new Error("blocked"));
  });
}

/** A random name of 32 letters; `crypto.randomUUID` is missing where the page is not served securely. */
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  /** @param {string} folder */
  constructor(folder) {
    this.folder = folder;
    /** Everything not acknowledged, in the order of painting. @type {{parcel: Parcel, stroke: Stroke}[]} */
    this.queue = [];
    this.shelf = openShelf().catch(() => null);
    this.progress = new Cell(/** @type {Progress} */ ({ state: "saved", count: 0, kept: true, detail: "" }));
    this.online = true;
    this.sending = false;
    this.lastTime = 0;
    /** The images there are, and their looks: strokes in others wait until those are back. @type {Map<string, string>} */
    this.images = new Map();
    /** Why the server has not taken the first stroke yet. */
    this.detail = "";
    /** Whether IndexedDB takes strokes. */
    this.kept = true;
    /** Strokes that are not in IndexedDB yet. */
    this.loose = 0;
    /** @type {(image: string, stroke: Stroke, revision: number) => void} */
    this.onSaved = () => {};
    /** Strokes of earlier visits to these images are found. @type {(images: Set<string>) => void} */
    this.onAdopted = () => {};
    /** @type {(image: string, detail: string) => void} */
    this.onRefused = () => {};
  }

  /**
   * Runs `work` on IndexedDB; where there is none, strokes are kept in memory only.
   *
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest<T>} work
   * @returns {Promise<T | null>}
   */
  async onShelf(mode, work) {
    const shelf = await this.shelf;
    if (!shelf) return null;
    return new Promise((resolve) => {
      try {
        const transaction = shelf.transaction(SHELF, mode);
        const asked = work(transaction.objectStore(SHELF));
        transaction.oncomplete = () => resolve(asked.result);
        transaction.onabort = () => resolve(null);
      } catch {
        resolve(null);
      }
    });
  }

  /** Takes over what an earlier visit, or a tab that was closed, could not send. */
  async adopt() {
    const found = /** @type {Parcel[]} */ ((await this.onShelf("readonly", (store) => store.getAll())) ?? []);
    const known = new Set(this.queue.map(({ parcel }) => parcel.id));
    /** @type {Set<string>} */
    const images = new Set();
    for (const parcel of found) {
      const here = parcel.folder === this.folder && this.images.get(parcel.image) === parcel.looks;
      if (!here || known.has(parcel.id)) continue;
      const { values } = await decodeGray(parcel.file);
      this.queue.push({ parcel, stroke: { rect: parcel.rect, values } });
      images.add(parcel.image);
    }
    this.queue.sort((one, other) => one.parcel.time - other.parcel.time);
    this.report();
    if (images.size) this.onAdopted(images);
    this.pump();
  }

  /**
   * @param {string} image
   * @returns {Stroke[]} What is not acknowledged, in the order of painting.
   */
  waiting(image) {
    return this.queue.filter(({ parcel }) => parcel.image === image).map(({ stroke }) => stroke);
  }

  /**
   * @param {string} image
   * @param {Stroke} stroke
   */
  async add(image, stroke) {
    this.lastTime = Math.max(Date.now(), this.lastTime + 0.001);
    /** @type {Parcel} */
    const parcel = {
      id: randomId(),
      folder: this.folder,
      image,
      looks: this.images.get(image) ?? "",
      time: this.lastTime,
      rect: stroke.rect,
      file: new Uint8Array(0),
    };
    const entry = { parcel, stroke };
    this.queue.push(entry);
    this.loose++;
    this.report();
    parcel.file = await encodeGray({ ...stroke.rect, values: stroke.values });
    const kept = await this.onShelf("readwrite", (store) => store.put(parcel));
    this.kept = kept !== null;
    this.loose--;
    this.report();
    this.pump();
  }

  /** @param {ImageInfo[]} images */
  setImages(images) {
    const fresh = images.some(({ id }) => !this.images.has(id));
    this.images = new Map(images.map(({ id, name, width, height }) => [id, `${name} ${width}x${height}`]));
    if (fresh) this.adopt();
  }

  /** @param {boolean} online */
  setOnline(online) {
    if (online === this.online) return;
    this.online = online;
    this.report();
    if (online) this.adopt();
  }

  /** Sends what there is, one after the other. */
  async pump() {
    if (this.sending || !this.online) return;
    this.sending = true;
    let pause = 500;
    while (this.queue.length && this.online && this.queue[0].parcel.file.length) {
      const { parcel, stroke } = this.queue[0];
      try {
        const revision = await this.post(parcel);
        this.drop(parcel);
        this.detail = "";
        pause = 500;
        this.onSaved(parcel.image, stroke, revision);
      } catch (error) {
        if (isPassing(error)) {
          this.detail = inWords(error);
          this.report();
          await new Promise((resolve) => setTimeout(resolve, pause));
          pause = Math.min(2 * pause, 4000);
        } else if (error instanceof Refusal && error.status === 404) {
          this.queue.shift();
          this.images.delete(parcel.image);
        } else {
          this.drop(parcel);
          this.onRefused(parcel.image, inWords(error));
        }
      }
      this.report();
    }
    this.sending = false;
  }

  /** @param {Parcel} parcel */
  async post({ id, image, rect, file }) {
    const { x, y, width, height } = rect;
    const answer = await request(imagePath(image, `/strokes?x=${x}&y=${y}&width=${width}&height=${height}`), {
      method: "POST",
      headers: { "Content-Type": "image/png", "X-Stroke-Id": id },
      body: file,
    });
    return Number((await answer.json()).revision);
  }

  /** @param {Parcel} parcel */
  drop(parcel) {
    this.queue = this.queue.filter((entry) => entry.parcel !== parcel);
    this.onShelf("readwrite", (store) => store.delete(parcel.id));
  }

  report() {
    const count = this.queue.length;
    const stuck = count > 0 && (!this.online || this.detail !== "");
    this.progress.set({
      state: count === 0 ? "saved" : stuck ? "stuck" : "saving",
      count,
      kept: this.kept,
      detail: this.detail,
    });
  }

  /** Whether closing the page now would lose paint. */
  get endangered() {
    return this.loose > 0 || (!this.kept && this.queue.length > 0);
  }
}
