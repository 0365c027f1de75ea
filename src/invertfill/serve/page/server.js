// The engine that is a server: engine.js says what an engine is.

import { Refused } from "./messages.js";
import { plain } from "./words.js";

const KEY = "invertfill-token";

// A token may come behind the # of the address, which browsers send to nobody.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname);
}

export const offers = async () => (await ask("models")).json();
export const cost = async () => "";
export const warm = () => {};
export const preview = async (image) => (await ask("preview", { image })).blob();
export const make = async (path, fields, told) => asFiles(await ask(path, fields, told));

async function ask(path, fields, told = {}) {
  const answer = await send(path, fields, told);
  if (answer.status === 401) {
    await askForToken();
    return ask(path, fields, told);
  }
  if (!answer.ok) {
    const { error } = await answer.json().catch(() => ({}));
    throw new Refused(plain(error ?? "") || `The server answers ${answer.status}.`, answer.status);
  }
  return answer;
}

// XMLHttpRequest, as fetch doesn't tell how far an upload is.
async function send(path, fields, { signal, before, made }) {
  const body = fields && new FormData();
  for (const [name, value] of Object.entries(fields ?? {})) body.append(name, await value);
  const request = new XMLHttpRequest();
  request.open(body ? "POST" : "GET", new URL(`../v1/${path}`, import.meta.url));
  request.responseType = made ? "text" : "blob";
  const token = sessionStorage.getItem(KEY);
  if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
  if (made) request.setRequestHeader("Accept", "application/x-ndjson"); // a line for each picture
  const abort = () => request.abort();
  signal?.addEventListener("abort", abort);
  try {
    return await new Promise((resolve, reject) => {
      if (before) request.upload.onprogress = ({ loaded, total }) => before(loaded / total, "Sending");
      if (made) request.onprogress = countLines(request, made);
      request.onload = () => resolve(new Response(request.response, { status: request.status }));
      request.onerror = () => reject(new Refused("The server doesn't answer.", 0, "start the server again"));
      request.onabort = () => reject(new DOMException("Cancelled", "AbortError"));
      if (signal?.aborted) return request.onabort();
      request.send(body);
    });
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function countLines(request, told) {
  let [lines, at] = [0, 0];
  return () => {
    const text = request.responseText;
    for (let end; (end = text.indexOf("\n", at)) >= 0; at = end + 1) lines++;
    at = text.length;
    if (request.status === 200) told(lines);
  };
}

function askForToken() {
  const dialog = document.getElementById("locked");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        sessionStorage.setItem(KEY, document.getElementById("token").value.trim());
        resolve();
      },
      { once: true },
    );
  });
}

// The pictures of an answer in lines of JSON, as files, and what is said of them.
async function asFiles(answer) {
  const lines = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
  const { error, model, why } = lines.at(-1);
  if (error) throw new Refused(plain(error), answer.status);
  const file = ({ data, type }) => new Blob([Uint8Array.from(atob(data), (one) => one.charCodeAt(0))], { type });
  return { files: lines.flatMap((line) => line.pictures).map(file), model, why, notes: lines.flatMap((line) => line.notes) };
}
