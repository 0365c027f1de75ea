// The engine that is this browser. The package itself runs here, in Python that is compiled to WebAssembly, and its
// graphs in ONNX Runtime Web, each in a worker of its own. What they need comes once, and stays in the browser's cache.

import { Refused } from "./messages.js";
import { plain } from "./words.js";

const ROOT = new URL("..", import.meta.url);
const FILES = "invertfill-files"; // the cache of all that service-worker.js doesn't bring itself
const SUM = "X-Sha256"; // a header of what lies there
const RELOADED = "invertfill-reloaded";
const OUTPUT = 64 * 2 ** 20; // bytes: the most that a graph may answer

let site; // what lies here: site.json, written by `invertfill site`
let workers = null; // { python, graphs, stop: what interrupts Python, where memory can be shared }
let questions = 0; // so far

export async function offers() {
  await isolate();
  const answer = await fetch(new URL("site.json", ROOT)).catch(() => null);
  if (!answer?.ok) throw new Refused("This page's own files don't come.", 0, "go online");
  site = await answer.json();
  return site;
}

// Threads need a page that is isolated from others, by headers that service-worker.js adds from the second load on.
async function isolate() {
  if (!navigator.serviceWorker) return; // such as at an address that begins with http: and isn't this machine
  await navigator.serviceWorker.register(new URL("service-worker.js", ROOT));
  await navigator.serviceWorker.ready;
  if (crossOriginIsolated) return sessionStorage.removeItem(RELOADED);
  if (sessionStorage.getItem(RELOADED)) return; // this browser won't
  sessionStorage.setItem(RELOADED, "yes");
  location.reload();
  await new Promise(() => {});
}

export async function cost(model) {
  const bytes = (await missing(model)).reduce((sum, file) => sum + file.bytes, 0);
  if (!bytes) return "";
  const kept = globalThis.caches ? "once. After that it works offline." : "which this browser keeps on pages with https alone.";
  return `The first fill downloads ${megabytes(bytes)} MB, ${kept}`;
}

const megabytes = (bytes) => Math.max(1, Math.round(bytes / 1e6));

const filesOf = (model) => site.models.find(({ name }) => name === model).files.map((path) => ({ path, ...site.files[path] }));

// Of what a model needs, what isn't in the cache as it has to be.
async function missing(model) {
  const cache = await globalThis.caches?.open(FILES); // none at an address that isn't secure
  const there = await Promise.all(filesOf(model).map(async ({ path, sha256 }) => (await cache?.match(path))?.headers.get(SUM) === sha256));
  return filesOf(model).filter((_, i) => !there[i]);
}

// Brings what is missing, and checks it.
async function bring(model, { signal, before }) {
  const files = await missing(model);
  const whole = files.reduce((sum, file) => sum + file.bytes, 0);
  const cache = await globalThis.caches?.open(FILES);
  let come = 0;
  for (const { path, bytes, sha256 } of files) {
    if (path.startsWith("weights/")) open(); // Python starts meanwhile
    const data = new Uint8Array(bytes);
    let at = 0;
    try {
      const answer = await fetch(new URL(path, ROOT), { signal, cache: "no-cache" });
      if (!answer.ok) throw new Error(`${answer.status}`);
      for (const reader = answer.body.getReader(); ; ) {
        const { done, value } = await reader.read();
        if (done) break;
        data.set(value, at);
        at += value.length;
        before((come + at) / (whole + 1), `Downloading ${megabytes(whole)} MB`);
      }
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(`${path} can't be downloaded.`, 0, "go online");
    }
    if (at !== bytes || ((await sum(data)) ?? sha256) !== sha256) throw new Refused(`${path} came damaged.`, 0, "wait a little");
    await cache?.put(path, new Response(data, { headers: { [SUM]: sha256, "Content-Length": bytes } }));
    come += bytes;
  }
  for (const { url } of (await cache?.keys()) ?? []) {
    if (!site.files[url.slice(ROOT.href.length)]) await cache.delete(url); // of an earlier version of the site
  }
  before(1, "");
}

async function sum(data) {
  if (!isSecureContext) return null; // nor is the rest of the page checked there
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...digest].map((one) => one.toString(16).padStart(2, "0")).join("");
}

function open() {
  if (workers) return workers;
  const worker = (name) => new Worker(new URL(name, import.meta.url), { type: "module" });
  const { port1, port2 } = new MessageChannel();
  const shared = (bytes) => (crossOriginIsolated ? new SharedArrayBuffer(bytes) : null);
  const [memory, stop] = [shared(OUTPUT), shared(1)];
  workers = { python: worker("python-worker.js"), graphs: worker("graphs-worker.js"), stop: stop && new Uint8Array(stop) };
  workers.graphs.postMessage({ port: port1, memory }, [port1]);
  workers.python.postMessage({ port: port2, memory, stop: workers.stop }, [port2]);
  return workers;
}

function close() {
  for (const worker of [workers?.python, workers?.graphs]) worker?.terminate();
  workers = null;
}

// Asks Python; told is called with each message but the last.
async function ask(message, { signal, told = () => {} } = {}) {
  const { python, graphs, stop } = open();
  const id = ++questions;
  try {
    return await new Promise((resolve, reject) => {
      const broken = () => reject(new Refused("The browser can't run this.", 500));
      python.onerror = graphs.onerror = broken;
      python.onmessage = ({ data }) => {
        if (data.id !== id) return; // of one that was cancelled
        if (data.error) reject(new Refused(plain(data.error) || "The browser can't do that.", data.status));
        else if (data.done) resolve(data);
        else told(data);
      };
      signal?.addEventListener("abort", () => reject(new DOMException("Cancelled", "AbortError")));
      signal?.throwIfAborted();
      python.postMessage({ ...message, id });
    });
  } catch (error) {
    if (error.name === "AbortError" && stop) stop[0] = 2; // as Ctrl-C does
    else if (error.status !== 422) close();
    throw error;
  }
}

export async function make(path, { model, ...fields }, { signal, before, made }) {
  await bring(model, { signal, before });
  const given = {};
  for (const [name, value] of Object.entries(fields)) {
    const settled = await value;
    given[name] = settled instanceof Blob ? new Uint8Array(await settled.arrayBuffer()) : settled;
  }
  const answers = [];
  const told = (answer) => made(answers.push(answer));
  await ask({ path, model, files: filesOf(model).map((file) => file.path), fields: given }, { signal, told });
  const files = answers.map(({ data, type }) => new Blob([data], { type }));
  const { model: name, why } = answers.at(-1);
  return { files, model: name, why, notes: answers.flatMap(({ notes }) => notes) };
}

// Python and the model take seconds to start. Where they are here already, they start while the person paints.
export async function warm(model) {
  if (!workers && !(await missing(model)).length) open().python.postMessage({ warm: filesOf(model).map((file) => file.path), model });
}

export async function preview(file) {
  const [{ name }] = site.models;
  await bring(name, { before: () => {} });
  let shown;
  const fields = { image: new Uint8Array(await file.arrayBuffer()) };
  await ask({ path: "preview", model: name, files: filesOf(name).map((one) => one.path), fields }, { told: (answer) => (shown = answer) });
  return new Blob([shown.data], { type: shown.type });
}
