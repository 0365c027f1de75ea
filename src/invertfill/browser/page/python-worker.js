// Python in a worker: what the page asks goes to browser/door.py, and what that asks of the graphs to graphs-worker.js.

import { loadPyodide } from "../runtime/pyodide.mjs";

const ROOT = new URL("..", import.meta.url);
const PACKAGE = "/app/invertfill/";
const HEAD = 16; // bytes of the shared memory: a flag, and the length of the text that follows
let graphs; // { port, memory, stop }
let door; // a promise of the Python module
let last = Promise.resolve(); // what is asked is done in turn

onmessage = ({ data }) => {
  if (data.port) {
    graphs = data;
    door = start();
    door.catch(() => {}); // who asks is told
  } else last = last.then(() => (data.warm ? warm(data).catch(() => {}) : answer(data))); // what fails will be asked again
};

async function start() {
  if (!graphs.memory && !WebAssembly.Suspending) throw new Error("This browser can fill on pages with https alone.");
  const python = await loadPyodide({ indexURL: new URL("runtime/", ROOT).href, packages: ["numpy", "pillow"] });
  python.unpackArchive(await read("invertfill.zip"), "zip", { extractDir: "/app" });
  if (graphs.stop) python.setInterruptBuffer(graphs.stop);
  python.registerJsModule("invertfill_graphs", { call: graphs.memory ? callAndWait : call });
  python.runPython('import sys; sys.path.insert(0, "/app")');
  return { python, module: python.pyimport("invertfill.browser.door") };
}

async function read(path) {
  const answer = await fetch(new URL(path, ROOT));
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// What a model needs, as files of Python's.
async function lay(python, files) {
  for (const path of files.filter((one) => one.startsWith("weights/"))) {
    const to = PACKAGE + path;
    if (python.FS.analyzePath(to).exists) continue;
    python.FS.mkdirTree(to.slice(0, to.lastIndexOf("/")));
    python.FS.writeFile(to, await read(path), { canOwn: true });
  }
}

async function warm({ warm: files, model }) {
  const { python, module } = await door;
  await lay(python, files);
  await run(module.warm, model);
}

async function answer({ id, path, model, files, fields }) {
  const tell = (told, transfer = []) => postMessage({ id, ...told }, transfer);
  try {
    if (graphs.stop) graphs.stop[0] = 0;
    const { python, module } = await door;
    await lay(python, files);
    const told = (picture) => {
      const made = picture.toJs({ dict_converter: Object.fromEntries });
      tell(made, [made.data.buffer]);
    };
    const refusal = await run(module.answer, path, model, python.toPy(fields), told);
    tell(refusal ? { error: refusal, status: 422 } : { done: true });
  } catch (error) {
    if (error.type === "KeyboardInterrupt") return;
    console.error(error);
    const [line] = String(error.message).trim().split("\n").slice(-1);
    const full = /MemoryError|out of memory|allocation failed/i.test(line);
    tell({ error: full ? "The browser has no memory for that; try a smaller picture." : line, status: 500 });
  }
}

// Without shared memory, Python waits for the graphs by being suspended, which newer browsers alone can.
const run = (what, ...given) => (graphs.memory ? what(...given) : what.callPromising(...given));

function callAndWait(asked) {
  const flag = new Int32Array(graphs.memory, 0, 2);
  Atomics.store(flag, 0, 0);
  graphs.port.postMessage(asked);
  Atomics.wait(flag, 0, 0);
  const text = new Uint8Array(graphs.memory, HEAD, flag[1]).slice(); // decoders don't take shared memory
  const answer = JSON.parse(new TextDecoder().decode(text));
  let at = HEAD + Math.ceil(flag[1] / 4) * 4;
  for (const output of answer.outputs ?? []) {
    const length = output.dims.reduce((product, one) => product * one, 1);
    output.data = new Float32Array(graphs.memory, at, length).slice();
    at += 4 * length;
  }
  return answer;
}

function call(asked) {
  graphs.port.postMessage(asked);
  return new Promise((resolve) => (graphs.port.onmessage = ({ data }) => resolve(data)));
}
