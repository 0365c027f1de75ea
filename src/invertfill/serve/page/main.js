// The page: a photo comes in, is painted on, filled, compared and taken away.

import { Painter } from "./painter.js";
import { asBlob, onLargerCanvas, open } from "./picture.js";
import { ask } from "./server.js";

const $ = (id) => document.getElementById(id);
const ENDINGS = { "image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp", "image/tiff": "tif", "image/bmp": "bmp", "image/avif": "avif", "image/heic": "heic" };

let photo = null; // what is painted on
let variants = []; // of the last question, as {file, note, link, url, label}
let chosen = null; // one of them
let question = null; // {path, fields, seed}: asked again for more variants
let working = null; // an AbortController
let opening = null; // the file that was given last, until it can be painted on
let limits; // of the server

const painter = new Painter(() => {
  $("undo").disabled = !painter.done.length;
  $("redo").disabled = !painter.undone.length;
  $("clear").disabled = $("fill").disabled = painter.empty;
});

// What is said

function say(text) {
  $("said").textContent = text;
}

function complain(error) {
  $("wrong").textContent = error.message;
}

// Runs what may fail; its sentence is shown until the next thing is done, or until it is clicked away.
const careful = (what) => async (...given) => {
  $("wrong").textContent = "";
  try {
    await what(...given);
  } catch (error) {
    if (error.name !== "AbortError") complain(error);
  }
};

function show(view) {
  $("start").hidden = view !== "start";
  $("work").hidden = view === "start";
  $("other").hidden = view === "start";
  $("asking").hidden = view !== "paint";
  $("result").hidden = view !== "result";
  $("tools").classList.toggle("away", view === "result");
  $("sheet").hidden = view === "result";
  $("compare").hidden = view !== "result";
  if (view === "paint") painter.fit();
  if (view === "result") lay();
}

// The photo

async function take(file, name = file.name || "photo.png") {
  opening = file;
  document.body.classList.add("opening");
  $("about").textContent = `Opening ${name} …`;
  try {
    await ready;
    if (file.size > limits.upload) throw new Error(`This file has more than ${limits.upload / 1e6} MB.`);
    const opened = await open(file, name);
    if (opening !== file) return; // another was given meanwhile
    photo = opened;
  } finally {
    if (opening === file) {
      opening = null;
      document.body.classList.remove("opening");
      $("about").textContent = photo?.name ?? "";
    }
  }
  forget();
  show("paint");
  painter.show(photo.canvas);
  resize(Math.round(Math.max(photo.canvas.width, photo.canvas.height) / 14));
  say(`${name} is open. Paint over what should go.`);
}

function resize(size) {
  $("size").value = size;
  painter.size = Number($("size").value);
  painter.aim(!$("ring").hidden);
}

function use(erasing) {
  painter.erasing = erasing;
  $("brush").setAttribute("aria-pressed", String(!erasing));
  $("eraser").setAttribute("aria-pressed", String(erasing));
}

// Asking

async function fill() {
  if (painter.empty) return;
  const mask = painter.onlyFile ?? asBlob(painter.mask());
  const fields = { image: photo.file, mask, resize_mask: "true", model: $("model").value };
  await begin("fill", fields, photo.canvas);
}

async function extend() {
  const share = (id) => Math.min(100, Math.max(0, Number($(id).value) || 0)) / 100;
  const aspect = $("aspect").value;
  const margins = aspect ? marginsFor(aspect) : { left: share("left"), top: share("top"), right: share("right"), bottom: share("bottom") };
  if (!Object.values(margins).some((margin) => margin > 0)) throw new Error("Nothing to add: give a margin, or other proportions.");
  const asked = aspect ? { aspect } : Object.fromEntries(Object.entries(margins).map(([side, margin]) => [side, `${Math.round(margin * 100)}%`]));
  const fields = { image: photo.file, model: $("model").value, ...asked };
  await begin("outpaint", fields, onLargerCanvas(photo.canvas, margins));
}

function marginsFor(aspect) {
  const [across, down] = aspect.split(":").map(Number);
  const change = across / down / (photo.canvas.width / photo.canvas.height);
  const [sides, ends] = [Math.max(0, change - 1) / 2, Math.max(0, 1 / change - 1) / 2];
  return { left: sides, right: sides, top: ends, bottom: ends };
}

async function begin(path, fields, before) {
  if (working || opening) return;
  forget();
  question = { path, fields, seed: 0 };
  [$("before").width, $("before").height] = [before.width, before.height];
  $("before").getContext("2d").drawImage(before, 0, 0);
  await more(Number($("samples").value));
}

// One request a variant: so the first can be seen while others are made, and no picture is sent twice as text.
async function more(count) {
  if (working) return;
  working = new AbortController();
  const began = performance.now();
  let made = 0;
  const tell = () => {
    const of = count > 1 ? `, ${made + 1} of ${count}` : "";
    $("doing").textContent = `Working${of}: ${Math.round((performance.now() - began) / 1000)} s`;
  };
  const clock = setInterval(tell, 500);
  tell();
  count > 1 ? ($("progress").value = 0) : $("progress").removeAttribute("value");
  busy(true);
  try {
    for (; made < count; made++) {
      if (count > 1) $("progress").value = made / count;
      const answer = await ask(question.path, { ...question.fields, seed: question.seed }, working.signal);
      const note = (answer.headers.get("X-InvertFill-Note") ?? "").replace(/^image: /, "");
      const variant = await shown({ file: await answer.blob(), note });
      question.seed++;
      variants.push(variant);
      variant.label = thumbnail(variant, variants.length);
      $("variants").append(variant.label);
      $("variants").hidden = variants.length < 2;
      if (!made) choose(variant);
    }
    say(`Done: ${variants.length} ${variants.length > 1 ? "variants" : "variant"}.`);
  } finally {
    clearInterval(clock);
    working = null;
    busy(false);
  }
}

function busy(is) {
  $("busy").hidden = !is;
  for (const id of ["fill", "extend", "another", "onward", "back", "model", "samples", "other", "mask"]) $(id).disabled = is;
  if (!is) painter.changed();
  if (is) $("busy").scrollIntoView({ block: "nearest" });
}

// With addresses: of the file, and of a picture that the browser can show.
async function shown(variant) {
  const link = URL.createObjectURL(variant.file);
  try {
    const image = new Image();
    image.src = link;
    await image.decode();
    return { ...variant, link, url: link };
  } catch {
    return { ...variant, link, url: URL.createObjectURL(await (await ask("preview", { image: variant.file })).blob()) };
  }
}

// The result

function choose(variant) {
  chosen = variant;
  variant.label.querySelector("input").checked = true;
  $("after").src = variant.url;
  $("note").textContent = variant.note;
  $("download").href = variant.link;
  $("download").download = nameOf(variant);
  show("result");
}

function thumbnail(variant, number) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "variant" });
  input.addEventListener("change", () => choose(variant));
  label.append(input, Object.assign(new Image(), { src: variant.url, alt: `Variant ${number}` }));
  return label;
}

function nameOf(variant) {
  const dot = photo.name.lastIndexOf(".");
  const [stem, ending] = dot > 0 ? [photo.name.slice(0, dot), photo.name.slice(dot + 1)] : [photo.name, ""];
  const kind = ENDINGS[variant.file.type] ?? "png";
  const same = ending.toLowerCase().replace("jpeg", "jpg").replace("tiff", "tif").replace("heif", "heic") === kind;
  return `${stem.replace(/-filled$/, "")}-filled.${same ? ending : kind}`;
}

function forget() {
  for (const variant of variants) [variant.link, variant.url].forEach(URL.revokeObjectURL);
  $("variants").replaceChildren();
  variants = [];
  question = chosen = null;
}

// The comparison lies in the middle of the stage, as large as it can be.
function lay() {
  const { clientWidth: width, clientHeight: height } = $("stage");
  const image = $("after");
  if ($("compare").hidden || !image.naturalWidth) return;
  const scale = Math.min((width - 16) / image.naturalWidth, (height - 16) / image.naturalHeight);
  Object.assign($("compare").style, {
    width: `${image.naturalWidth * scale}px`,
    height: `${image.naturalHeight * scale}px`,
    left: `${(width - image.naturalWidth * scale) / 2}px`,
    top: `${(height - image.naturalHeight * scale) / 2}px`,
  });
}

async function loadMask(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name}: not a picture that can be read as a mask.`);
  }
  painter.load(bitmap, file);
  bitmap.close();
  say("The mask is loaded.");
}

// What is pressed, dropped and pasted

const press = (id, what) => $(id).addEventListener("click", careful(what));
press("brush", () => use(false));
press("eraser", () => use(true));
press("undo", () => painter.undo());
press("redo", () => painter.redo());
press("clear", () => painter.clear());
press("closer", () => painter.zoom(1.5));
press("farther", () => painter.zoom(1 / 1.5));
press("fit", () => painter.fit());
press("fill", fill);
press("extend", extend);
press("another", () => more(1));
press("onward", () => take(chosen.file, nameOf(chosen)));
press("back", () => show("paint"));
press("other", () => {
  forget();
  photo = null;
  $("about").textContent = "";
  show("start");
});
press("cancel", () => working?.abort());
$("wrong").addEventListener("click", () => ($("wrong").textContent = ""));
$("size").addEventListener("input", () => resize($("size").value));
$("cut").addEventListener("input", () => $("compare").style.setProperty("--cut", `${$("cut").value}%`));
$("after").addEventListener("load", lay);
new ResizeObserver(lay).observe($("stage"));

// Taken out before the input is emptied, so that the same file can be chosen again.
const chosenIn = (id, what) =>
  $(id).addEventListener("change", careful(async () => {
    const [file] = $(id).files;
    $(id).value = "";
    if (file) await what(file);
  }));
chosenIn("file", (file) => take(file));
chosenIn("mask", loadMask);

for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", careful(async () => {
    const name = button.dataset.example;
    await take(await (await fetch(`/page/${name}`)).blob(), name);
  }));
}

document.addEventListener("paste", careful(async (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (file && !working) await take(file);
}));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", careful(async (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file && !working) await take(file);
}));

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && working) return working.abort();
  const typing = event.target.closest("input:not([type=range]), select, dialog");
  if (typing || working || !photo || $("asking").hidden) return;
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  const onButton = event.target.closest("button, summary, a");
  let what = null;
  if (control) what = { z: event.shiftKey ? "redo" : "undo", y: "redo" }[key];
  else if (key === "[" || key === "]") return resize(painter.size * (key === "[" ? 0.8 : 1.25));
  else if (key !== "enter" || !onButton) {
    what = { b: "brush", e: "eraser", x: "clear", "+": "closer", "=": "closer", "-": "farther", 0: "fit", enter: "fill" }[key];
  }
  if (!what) return;
  event.preventDefault();
  $(what).click();
});

const ready = (async () => {
  const told = await (await ask("models")).json();
  limits = told.limits;
  for (const { name } of told.models) $("model").append(new Option(name === "auto" ? "auto (chosen for each picture)" : name, name));
  for (let n = 1; n <= limits.samples; n++) $("samples").append(new Option(n, n));
})();
ready.catch(complain);
