// The page: a photo comes in, is painted on, filled, compared and taken away. All that it knows is declared here.

import { onArrival, onChosen } from "./arrivals.js";
import { Comparison } from "./compare.js";
import * as engine from "./engine.js";
import { Frame } from "./extend.js";
import { History } from "./history.js";
import { onKeys, writeKeys } from "./keys.js";
import { asked, careful, say } from "./messages.js";
import { Painter } from "./painter.js";
import { asBlob, filledName, open, release } from "./picture.js";
import { Progress } from "./progress.js";
import { showFilm, showVariants } from "./thumbnails.js";
import { View } from "./view.js";
import { howFilled, modelWords, plain } from "./words.js";

const $ = (id) => document.getElementById(id);
const all = (...ids) => Object.fromEntries(ids.map((id) => [id, $(id)]));
const HINTS = { paint: "Paint over what should go.", compare: "Drag the line, or the picture under it.", extend: "Drag the sides outwards." };

const history = new History();
const view = new View($("stage"), $("sheet"));
const painter = new Painter(view, all("paint", "ring"), { changed: render, released });
const comparison = new Comparison(view, all("before", "cut", "line"));
const frame = new Frame(view, { ...all("frame", "grips", "chips", "left", "top", "right", "bottom"), changed: render });
const progress = new Progress({ bar: $("progress"), text: $("doing"), shimmer: $("shimmer") });
let mode = "paint"; // or compare, extend
let name = ""; // of the photo that was opened
let working = null; // an AbortController
let opening = null; // the file that was given last, until it can be painted on
let keyed = false; // the brush was moved by keys last, not by a pointer
let ready; // a promise that the engine's limits are known
let limits;

const mayLeave = async () => !history.unsaved || (await asked($("sure"))) === "leave";

// The photo

async function take(file, called = file.name || "photo.png") {
  if (working) throw new Error("Wait until the fill is done, or cancel it.");
  if (!(await mayLeave())) return;
  opening = file;
  document.body.classList.add("opening");
  $("about").textContent = `Opening ${called} …`;
  try {
    await ready;
    if (file.size > limits.upload) throw new Error(`This file has more than ${limits.upload / 1e6} MB.`);
    const picture = await open(file, called);
    const { naturalWidth: width, naturalHeight: height } = picture.image;
    if (width * height > limits.pixels) throw new Error(`${called}: ${width} × ${height} pixels; up to ${limits.pixels / 1e6} million can be filled.`);
    if (opening !== file) return; // another was given meanwhile
    leave();
    name = called;
    history.start(picture);
    engine.warm($("model").value);
    $("size").max = Math.max(8, Math.round(Math.max(width, height) / 3));
    showStep();
    frame.setAspect("");
    resize(Math.max(width, height) / 14);
    say(`${name} is open. Paint over what should go.`);
  } finally {
    if (opening === file) {
      opening = null;
      document.body.classList.remove("opening");
      $("about").textContent = history.at ? about(history.picture) : "";
    }
  }
}

// Zoom and brush count what is seen, which may be smaller than the file.
function about({ reduced, image }) {
  return reduced ? `${name}, shown in ${image.naturalWidth} × ${image.naturalHeight} pixels` : name;
}

function leave() {
  setMode("paint");
  for (const picture of history.steps.flatMap((step) => step.pictures)) release(picture);
  history.forget();
  $("film").replaceChildren();
  $("about").textContent = "";
  render();
}

// Steps

function showStep() {
  const { picture, from, place, painting } = history.at;
  const { image } = picture;
  setMode(mode === "compare" && from ? mode : "paint");
  $("photo").removeAttribute("id");
  $("sheet").firstElementChild.replaceWith(image);
  [image.id, image.alt] = ["photo", ""];
  image.removeAttribute("style");
  view.show(image.naturalWidth, image.naturalHeight);
  painter.show(image.naturalWidth, image.naturalHeight, painting);
  comparison.show(from?.picture.image, place);
  renderResult();
  render();
}

function go(step) {
  history.go(step);
  showStep();
  say(`${step.title}.`);
}

function undo() {
  if (painter.painting.done.length) painter.undo();
  else if (history.back) go(history.back);
}

function redo() {
  if (painter.painting.undone.length) painter.redo();
  else if (history.forward) go(history.forward);
}

function choose(picture) {
  history.at.picture = picture;
  showStep();
}

// Asking

// Of the hole, in pixels.
function edges() {
  const whole = (id) => Math.max(0, Math.round(Number($(id).value)) || 0);
  return { grow: whole("grow"), feather: whole("feather") };
}

async function fill() {
  const { area } = painter;
  if (!area) throw new Error("Nothing is painted: paint over what should go.");
  const mask = painter.onlyFile ?? asBlob(painter.mask());
  const fields = { mask, resize_mask: true, ...edges() };
  await make({ path: "fill", what: "Filling", title: "Fill", fields, area });
}

async function extend() {
  if (frame.empty) throw new Error("Nothing to add: drag a side outwards, or take other proportions.");
  await make({ path: "outpaint", what: "Extending", title: "Extended", fields: frame.fields, place: frame.inside });
}

async function make({ path, what, title, fields, ...rest }) {
  if (working || opening) return;
  const question = { path, what, fields: { image: history.picture.file, model: $("model").value, ...fields } };
  const { pictures, said } = await request(question, 0, Number($("samples").value));
  history.add({ ...rest, title: `${title} ${history.steps.length}`, pictures, said, question });
  frame.setAspect("");
  showStep();
  say(`Done. ${said}`);
  await showModel();
}

// All variants in one request, so that what comes before the drawing is paid once.
async function request({ path, what, fields }, seed, count) {
  working = new AbortController();
  let done = false;
  progress.start(what, count, path === "fill" && !painter.empty ? painter.base : null);
  render();
  try {
    const told = { before: (share, what) => progress.before(share, what), made: (pictures) => progress.made(pictures) };
    const asked = { ...fields, seed, samples: count };
    const { files, model, why, notes } = await engine.make(path, asked, { signal: working.signal, ...told });
    const pictures = await Promise.all(files.map((file) => open(file, filledName(name, file.type))));
    done = true;
    return { pictures, said: [howFilled(model, why), ...notes.map(plain)].filter(Boolean).join(" ") };
  } finally {
    progress.stop(done);
    working = null;
    render();
  }
}

async function another() {
  const step = history.at;
  const { pictures } = await request(step.question, step.pictures.length, 1);
  step.pictures.push(...pictures);
  choose(pictures[0]);
}

// What the last fill was asked for, once more on what it gave.
async function again() {
  painter.painting.done = history.at.from.strokes.slice();
  painter.redraw();
  await fill();
}

function released(stroke) {
  if ($("release").checked && !stroke.erasing) careful(fill)();
}

// What is seen

function setMode(now) {
  if (mode !== now) frame.set(now === "extend");
  mode = now;
  comparison.set(mode === "compare");
  $("extending").open = mode === "extend";
  render();
}

function render() {
  const { at } = history;
  const busy = Boolean(working);
  $("start").hidden = Boolean(at);
  $("work").hidden = $("other").hidden = !at;
  if (!at) return;
  const tool = mode === "paint" && !busy ? painter : null;
  if (tool !== view.tool) {
    view.drop();
    painter.aim(false);
  }
  view.tool = tool;
  $("stage").dataset.mode = busy ? "busy" : mode;
  document.body.classList.toggle("working", busy);
  $("asking").classList.toggle("off", busy);
  $("busy").classList.toggle("off", !busy);
  $("go").textContent = mode === "extend" ? "Extend" : "Fill";
  $("go").disabled = busy || (mode === "extend" ? frame.empty : painter.empty);
  $("hint").textContent = HINTS[mode];
  const { done, undone } = painter.painting;
  $("undo").disabled = busy || !(done.length || history.back);
  $("redo").disabled = busy || !(undone.length || history.forward);
  $("clear").disabled = $("save").disabled = busy || painter.empty;
  $("compare").disabled = $("hold").disabled = !at.from || mode === "extend";
  $("again").disabled = busy || !at.from?.strokes.length || Boolean(at.place);
  for (const id of ["another", "other", "mask", "brush", "eraser", "lasso", "rectangle"]) $(id).disabled = busy;
  for (const control of document.querySelectorAll("#options :is(input, select), #film button, #variants input")) control.disabled = busy;
  $("compare").ariaPressed = String(mode === "compare");
  for (const id of ["brush", "eraser", "lasso", "rectangle"]) $(id).ariaPressed = String(mode === "paint" && painter.tool === id);
}

function renderResult() {
  const { from, picture, said } = history.at;
  showFilm($("film"), history, careful(go));
  $("result").hidden = !from;
  if (!from) return;
  $("note").textContent = said;
  [$("download").href, $("download").download] = [picture.url, picture.name];
  showVariants($("variants"), history.at, choose);
}

async function showModel() {
  const [{ value, dataset }] = $("model").selectedOptions;
  const cost = await engine.cost(value);
  $("cost").textContent = cost;
  $("model-line").textContent = `${dataset.line} ${cost}`;
}

function resize(size) {
  $("size").value = size;
  $("pixels").textContent = `${$("size").value} px`;
  painter.resize(Number($("size").value));
}

function use(tool) {
  painter.tool = tool;
  setMode("paint");
}

async function loadMask(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name}: not a picture that can be read as a mask.`);
  }
  setMode("paint");
  painter.load(bitmap, file);
  bitmap.close();
  say("The mask is loaded.");
}

async function saveMask() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await asBlob(painter.mask(view.width, view.height)));
  link.download = `${name.replace(/\.[^.]*$/, "")}-mask.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// What is pressed, dropped and pasted

const press = (id, what) => $(id).addEventListener("click", careful(what));
for (const tool of ["brush", "eraser", "lasso", "rectangle"]) press(tool, () => use(tool));
press("undo", undo);
press("redo", redo);
press("clear", () => painter.clear());
press("compare", () => setMode(mode === "compare" ? "paint" : "compare"));
press("closer", () => view.zoom(1.5));
press("farther", () => view.zoom(1 / 1.5));
press("fit", () => view.fit());
press("actual", () => view.toggle());
press("go", () => (mode === "extend" ? extend() : fill()));
press("another", another);
press("again", again);
press("save", saveMask);
press("cancel", () => working?.abort());
press("help", () => asked($("sheet-of-keys")));
press("other", async () => (await mayLeave()) && leave());
press("download", () => (history.at.saved = true));
$("size").addEventListener("input", () => resize($("size").value));
for (const id of ["grow", "feather"]) $(id).addEventListener("input", () => painter.setEdges(edges()));
$("model").addEventListener("change", showModel);
$("extending").addEventListener("toggle", () => {
  if ($("extending").open !== (mode === "extend")) setMode($("extending").open ? "extend" : "paint");
});
view.addEventListener("place", () => ($("actual").textContent = `${view.percent} %`));

const holding = (held) => comparison.set(mode === "compare", held && !$("hold").disabled);
for (const [type, held] of [["pointerdown", true], ["pointerup", false], ["pointercancel", false], ["pointerleave", false]]) {
  $("hold").addEventListener(type, () => holding(held));
}
$("hold").addEventListener("contextmenu", (event) => event.preventDefault()); // what a long touch would open

onArrival($("file"), take);
onChosen($("mask"), loadMask);
window.addEventListener("beforeunload", (event) => history.unsaved && event.preventDefault());

$("stage").addEventListener("focus", () => (keyed = $("stage").matches(":focus-visible")));
$("stage").addEventListener("pointermove", () => (keyed = false));

onKeys({
  active: () => Boolean(history.at),
  escape: () => (working ? working.abort() : history.at && setMode("paint")),
  arrow(across, down, fine) {
    if (document.activeElement !== $("stage")) return false;
    keyed = true;
    if (view.tool) painter.step(across, down, fine);
    else view.shift(-40 * across, -40 * down);
    return true;
  },
  space(down) {
    if (down) view.moved = false;
    else if (document.activeElement === $("stage") && keyed && !view.moved && view.tool) painter.dab();
    view.hand = down;
  },
  hold: holding,
  variant: (number) => $("variants").querySelectorAll("input")[number - 1]?.click(),
  size: (times) => resize(times < 1 ? Math.floor(painter.size * times) : Math.ceil(painter.size * times)),
});

writeKeys($("keys"));
async function load() {
  const told = await engine.offers();
  limits = told.limits;
  const titles = told.models.map((model) => modelWords(model).title);
  for (const model of told.models) {
    const { title, line } = modelWords(model);
    const alone = titles.indexOf(title) === titles.lastIndexOf(title);
    const option = new Option(alone ? title : `${title}, ${model.pixels} px`, model.name);
    option.dataset.line = line;
    $("model").append(option);
  }
  await showModel();
  for (let n = 1; n <= limits.samples; n++) $("samples").append(new Option(n, n));
}
careful(() => (ready = load()))();
