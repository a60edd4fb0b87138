// A service worker that adds two headers to what the page's own host sends, which many static hosts cannot do. With
// them the page is cross-origin isolated, and only then may WebAssembly use several threads.

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

worker.addEventListener("install", () => void worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== worker.location.origin) return;
  event.respondWith(isolated(request));
});

/**
 * The answer to a request, with the headers of isolation.
 * @param {Request} request
 */
async function isolated(request) {
  // Asked for anew each time, and sent only if changed: a page's files must be of one export.
  const answer = await (request.mode === "navigate" ? fetch(request) : fetch(request, { cache: "no-cache" }));
  if (answer.type === "opaqueredirect" || answer.status === 0) return answer;
  const headers = new Headers(answer.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const body = [101, 204, 205, 304].includes(answer.status) ? null : answer.body;
  return new Response(body, { status: answer.status, statusText: answer.statusText, headers });
}
