// Answers for the whole site from the browser's caches, so that it works offline, and adds the headers that threads and
// a strict page need. `invertfill site` writes the first lines: VERSION, PAGE (the small files) and CONTENT (the policy).

const CACHE = `invertfill-page-${VERSION}`;
const FILES = "invertfill-files"; // what browser.js brought, when it was first needed
const TYPES = { html: "text/html", js: "text/javascript", mjs: "text/javascript", css: "text/css", json: "application/json", wasm: "application/wasm", svg: "image/svg+xml", png: "image/png" };
const HEADERS = {
  "Content-Security-Policy": CONTENT,
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

self.addEventListener("install", (event) => {
  const fresh = PAGE.map((path) => new Request(path, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)));
});

self.addEventListener("activate", (event) => event.waitUntil(tidy()));

async function tidy() {
  const old = (await caches.keys()).filter((name) => name.startsWith("invertfill-page-") && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) event.respondWith(answer(request));
});

async function answer(request) {
  const path = new URL(request.url).pathname;
  const found =
    (await (await caches.open(CACHE)).match(request, { ignoreSearch: true })) ??
    (request.cache === "no-cache" ? null : await (await caches.open(FILES)).match(request, { ignoreSearch: true }));
  const { body, status, statusText, headers } = found ?? (await fetch(request));
  const told = new Headers(headers);
  for (const [name, value] of Object.entries(HEADERS)) told.set(name, value);
  const type = TYPES[path.endsWith("/") ? "html" : path.slice(path.lastIndexOf(".") + 1)];
  if (status === 200 && type) told.set("Content-Type", type);
  return new Response(body, { status, statusText, headers: told });
}
