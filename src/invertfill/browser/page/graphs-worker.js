// ONNX Runtime Web in a worker: opens graphs and runs them, for python-worker.js.

import * as ort from "../runtime/ort.wasm.min.mjs";

const ROOT = new URL("..", import.meta.url);
const HEAD = 16; // bytes: see python-worker.js
const THREADS = 8; // more don't make a fill faster
const sessions = new Map(); // path -> a promise of the session

ort.env.wasm.wasmPaths = new URL("runtime/", ROOT).href;
ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(THREADS, navigator.hardwareConcurrency) : 1;
ort.env.logLevel = "error";

onmessage = ({ data: { port, memory } }) => {
  port.onmessage = async ({ data }) => {
    const answer = await run(data).catch((error) => ({ error: String(error.message ?? error) }));
    if (memory) write(memory, answer);
    else port.postMessage(answer);
  };
};

async function run({ graph, weights, inputs }) {
  if (!sessions.has(graph)) sessions.set(graph, open(graph, weights));
  const session = await sessions.get(graph);
  if (!inputs) return { inputs: session.inputNames };
  const tensor = ({ data, dims }) => new ort.Tensor("float32", data, dims);
  const given = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, tensor(value)]));
  const made = await session.run(given);
  return { outputs: session.outputNames.map((name) => ({ data: made[name].data, dims: made[name].dims })) };
}

// weights: the file beside the graph that holds its tensors; null for a graph that holds its own.
async function open(graph, weights) {
  const read = async (path) => new Uint8Array(await (await fetch(new URL(path, ROOT))).arrayBuffer());
  const beside = (name) => `${graph.slice(0, graph.lastIndexOf("/") + 1)}${name}`;
  const externalData = weights ? [{ path: weights, data: await read(beside(weights)) }] : [];
  return ort.InferenceSession.create(await read(graph), { externalData, enableMemPattern: false });
}

function write(memory, answer) {
  const flag = new Int32Array(memory, 0, 2);
  let outputs = answer.outputs ?? [];
  const size = outputs.reduce((sum, { data }) => sum + data.byteLength, 0);
  if (size > memory.byteLength - 2 ** 16) [answer, outputs] = [{ error: `an answer of ${size} bytes; accepted: up to ${memory.byteLength}` }, []];
  const text = new TextEncoder().encode(JSON.stringify({ ...answer, outputs: outputs.map(({ dims }) => ({ dims })) }));
  new Uint8Array(memory, HEAD, text.length).set(text);
  let at = HEAD + Math.ceil(text.length / 4) * 4;
  for (const { data } of outputs) {
    new Float32Array(memory, at, data.length).set(data);
    at += data.byteLength;
  }
  flag[1] = text.length;
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
}
