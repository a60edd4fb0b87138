// ONNX Runtime in this browser: its files, what computes, and how fast that may be.

import { Refusal } from "./pixels.js";

/**
 * Where onnxruntime-web's files lie, and what they must be.
 * @typedef {object} RuntimeFiles
 * @property {string} base A folder of the page, or the address of one elsewhere.
 * @property {Record<string, string>} files Names with their hashes, as the attribute `integrity` has them.
 */

/** The little of onnxruntime-web that is used.
 * @typedef {{data: Float32Array | Int32Array, dispose?: () => void}} Tensor
 * @typedef {{run: (feeds: Record<string, Tensor>, names: readonly string[]) => Promise<Record<string, Tensor>>,
 *            release: () => Promise<void>}} Session
 * @typedef {object} Ort
 * @property {{wasm: {numThreads: number, wasmBinary: ArrayBuffer}, logLevel: string}} env
 * @property {{create: (model: Uint8Array, options: object) => Promise<Session>}} InferenceSession
 * @property {new (kind: string, data: Float32Array, shape: number[]) => Tensor} Tensor
 */

/**
 * What computes.
 * @typedef {object} Engine
 * @property {string} name As visitors are told.
 * @property {Ort} ort
 * @property {Session} session
 */

const FOR_GPU = ["ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"];
const FOR_CPU = ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"];

/** Up to which difference of a probability a GPU may be trusted. */
const TRUSTED = 1e-3;

/**
 * Opens a model with WebGPU where there is one, which must agree with WebAssembly on a few pixels, else WebAssembly.
 * @param {RuntimeFiles} files
 * @param {URL} root Of the page.
 * @param {Uint8Array} model
 * @param {number} channels Of its images.
 * @param {number | null} threads Of WebAssembly, at most; null: as many as there may be.
 * @returns {Promise<Engine>}
 */
export async function openEngine(files, root, model, channels, threads) {
  if (threads === null && (await hasGpu())) {
    const engine = await openOnGpu(files, root, model, channels);
    if (engine !== null) return engine;
  }
  const ort = await load(files, root, FOR_CPU);
  const most = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1;
  const used = Math.max(1, Math.min(threads ?? most, most));
  ort.env.wasm.numThreads = used;
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  return { name: `WebAssembly, ${used} thread${used > 1 ? "s" : ""}`, ort, session };
}

async function hasGpu() {
  try {
    return Boolean("gpu" in navigator && (await navigator.gpu.requestAdapter()));
  } catch {
    return false;
  }
}

/**
 * @param {RuntimeFiles} files
 * @param {URL} root
 * @param {Uint8Array} model
 * @param {number} channels
 * @returns {Promise<Engine | null>} Null where the GPU fails, or computes something else.
 */
async function openOnGpu(files, root, model, channels) {
  try {
    const ort = await load(files, root, FOR_GPU);
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(model, { executionProviders: ["webgpu"], logSeverityLevel: 3 });
    const judge = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
    const [ours, theirs] = [await tryOut(ort, session, channels), await tryOut(ort, judge, channels)];
    await judge.release();
    if (!ours.every((p, i) => Math.abs(p - theirs[i]) <= TRUSTED)) return null; // so written, it catches NaN too
    return { name: "WebGPU", ort, session };
  } catch (error) {
    console.warn("WebGPU cannot be used here:", error);
    return null;
  }
}

/**
 * Probabilities of a few made-up pixels.
 * @param {Ort} ort
 * @param {Session} session
 * @param {number} channels
 */
async function tryOut(ort, session, channels) {
  const side = 64;
  const data = Float32Array.from({ length: channels * side * side }, (_, i) => (i * 7919) % 251);
  const { probabilities } = await session.run({ image: new ort.Tensor("float32", data, [1, channels, side, side]) }, [
    "probabilities",
  ]);
  return /** @type {Float32Array} */ (probabilities.data);
}

/**
 * Loads the library, after its files have been found to be what they must be.
 * @param {RuntimeFiles} files
 * @param {URL} root
 * @param {string[]} names The script's, and that of its WebAssembly.
 * @returns {Promise<Ort>}
 */
async function load(files, root, [script, binary]) {
  const base = new URL(files.base, root);
  const [wasm, code] = await Promise.all([fetchFile(base, binary, files), fetchFile(base, script, files)]);
  // A script from elsewhere may be run only once it is checked, and its threads only be started from here.
  const away = base.origin !== root.origin;
  const address = away ? URL.createObjectURL(new Blob([code], { type: "text/javascript" })) : new URL(script, base).href;
  const ort = /** @type {Ort} */ (await import(address));
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error";
  return ort;
}

/**
 * @param {URL} base
 * @param {string} name
 * @param {RuntimeFiles} files
 */
async function fetchFile(base, name, files) {
  return (await fetchChecked(new URL(name, base), files.files[name])).arrayBuffer();
}

/**
 * A file whose hash is known; the browser refuses any other.
 * @param {URL} address
 * @param {string} integrity
 */
export async function fetchChecked(address, integrity) {
  try {
    // A copy that the browser has kept may be that of an older page. What a host says instead of a missing file is not
    // what it should be either.
    return await fetch(address, { integrity, cache: address.origin === location.origin ? "no-cache" : "default" });
  } catch {
    throw new Refusal(`${address.href} cannot be fetched, or is not the file that it should be.`);
  }
}
