// The page: a photo comes in, is painted on, filled, compared and taken away. All that it knows is declared here.

import { Comparison } from "./compare.js";
import { Frame } from "./extend.js";
import { History } from "./history.js";
import { pressedBy, writeKeys } from "./keys.js";
import { Painter } from "./painter.js";
import { asBlob, filledName, open, release, thumbnail } from "./picture.js";
import { Progress } from "./progress.js";
import { asFiles, ask } from "./server.js";
import { View } from "./view.js";
import { howFilled, modelWords, plain } from "./words.js";

const $ = (id) => document.getElementById(id);
const all = (...ids) => Object.fromEntries(ids.map((id) => [id, $(id)]));
const SIDES = ["left", "top", "right", "bottom"];
const ASPECTS = ["", "1:1", "4:3", "3:2", "16:9", "3:4", "2:3", "9:16"];
const HINTS = { paint: "Paint over what should go.", compare: "Drag the line, or the picture under it.", extend: "Drag the sides outwards." };

const history = new History();
const view = new View($("stage"), $("sheet"));
const painter = new Painter(view, all("paint", "ring"), { changed: render, released });
const comparison = new Comparison(view, all("before", "cut", "line"));
const frame = new Frame(view, { ...all("frame", "grips"), changed: renderFrame });
const progress = new Progress({ bar: $("progress"), text: $("doing"), shimmer: $("shimmer") });
let mode = "paint"; // or compare, extend
let name = ""; // of the photo that was opened
let working = null; // an AbortController
let opening = null; // the file that was given last, until it can be painted on
let keyed = false; // the brush was moved by keys last, not by a pointer
let limits; // of the server

// What is said

function say(text) {
  $("said").textContent = text;
}

function complain(error, again) {
  const text = document.createElement("p");
  const lost = error.status === 0;
  text.textContent = lost ? `${error.message} Your painting is kept: start the server again, then retry.` : error.message;
  const button = document.createElement("button");
  button.textContent = lost ? "Retry" : "Close";
  button.addEventListener("click", () => {
    $("wrong").replaceChildren();
    if (lost) again();
  });
  $("wrong").replaceChildren(text, button);
}

// Runs what may fail; its sentence is shown until the next thing is done, or until it is closed.
const careful = (what) =>
  async function run(...given) {
    $("wrong").replaceChildren();
    try {
      await what(...given);
    } catch (error) {
      if (error.name !== "AbortError") complain(error, () => run(...given));
    }
  };

function asked(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

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
    $("size").max = Math.max(8, Math.round(Math.max(width, height) / 3));
    showStep();
    frame.setAspect("");
    resize(Math.max(width, height) / 14);
    say(`${name} is open. Paint over what should go.`);
  } finally {
    if (opening === file) {
      opening = null;
      document.body.classList.remove("opening");
      $("about").textContent = history.at ? name : "";
    }
  }
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
  renderFilm();
  renderVariants();
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

async function fill() {
  const { area } = painter;
  if (!area) throw new Error("Nothing is painted: paint over what should go.");
  const whole = (id) => String(Math.max(0, Math.round(Number($(id).value)) || 0));
  const mask = painter.onlyFile ?? asBlob(painter.mask());
  const fields = { mask, resize_mask: "true", grow: whole("grow"), feather: whole("feather") };
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
}

// All variants in one request, so that what comes before the drawing is paid once.
async function request({ path, what, fields }, seed, count) {
  working = new AbortController();
  let done = false;
  progress.start(count > 1 ? `${what}, ${count} variants` : what, path === "fill" && !painter.empty ? painter.base : null);
  render();
  try {
    const sent = (share) => progress.sent(share);
    const answer = await ask(path, { ...fields, seed, samples: count }, { signal: working.signal, sent });
    const { files, model, why, notes } = await asFiles(answer);
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

function renderFilm() {
  for (const step of history.steps) {
    step.button ??= filmButton(step);
    step.button.firstElementChild.replaceWith((step.picture.small ??= thumbnail(step.picture.image, 112)));
    if (step === history.at) step.button.ariaCurrent = "step";
    else step.button.removeAttribute("aria-current");
  }
  history.at.button.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function filmButton(step) {
  const [item, button, title] = ["li", "button", "span"].map((tag) => document.createElement(tag));
  title.textContent = step.title;
  button.append(document.createElement("canvas"), title);
  button.addEventListener("click", careful(() => go(step)));
  item.append(button);
  $("film").append(item);
  return button;
}

function renderVariants() {
  const { from, pictures, picture, said, area } = history.at;
  $("result").hidden = !from;
  if (!from) return;
  $("note").textContent = said;
  $("download").href = picture.url;
  $("download").download = picture.name;
  $("variants").hidden = pictures.length < 2;
  $("variants").replaceChildren(...pictures.map((one, i) => variant(one, i + 1, area, one === picture)));
}

function variant(picture, number, area, checked) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "variant", checked, ariaLabel: `Variant ${number}` });
  input.addEventListener("change", () => {
    choose(picture);
    $("variants").querySelector(":checked").focus();
  });
  picture.detail ??= thumbnail(picture.image, 256, area);
  const badge = Object.assign(document.createElement("span"), { textContent: number });
  label.append(input, picture.detail, badge);
  return label;
}

function renderFrame() {
  for (const side of SIDES) {
    if (document.activeElement !== $(side)) $(side).value = Math.round(frame.margins[side] * 100);
  }
  for (const chip of $("chips").querySelectorAll("input")) chip.checked = chip.value === frame.aspect;
  render();
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
$("model").addEventListener("change", () => ($("model-line").textContent = $("model").selectedOptions[0].dataset.line));
$("extending").addEventListener("toggle", () => {
  if ($("extending").open !== (mode === "extend")) setMode($("extending").open ? "extend" : "paint");
});
for (const side of SIDES) $(side).addEventListener("input", () => frame.setMargin(side, $(side).value / 100));
for (const side of SIDES) $(side).addEventListener("change", () => frame.fit());
view.addEventListener("place", () => ($("actual").textContent = `${view.percent} %`));

const holding = (held) => comparison.set(mode === "compare", held && !$("hold").disabled);
for (const [type, held] of [["pointerdown", true], ["pointerup", false], ["pointercancel", false], ["pointerleave", false]]) {
  $("hold").addEventListener(type, () => holding(held));
}
$("hold").addEventListener("contextmenu", (event) => event.preventDefault()); // what a long touch would open

for (const aspect of ASPECTS) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "radio", name: "aspect", value: aspect, checked: !aspect });
  input.addEventListener("change", () => frame.setAspect(aspect));
  label.append(input, Object.assign(document.createElement("span"), { textContent: aspect || "As it is" }));
  $("chips").append(label);
}

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
    const example = button.dataset.example;
    await take(await (await fetch(`/page/${example}`)).blob(), example);
  }));
}

document.addEventListener("paste", careful(async (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (file) await take(file);
}));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.toggle("over", event.dataTransfer.types.includes("Files"));
});
document.addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("over"));
document.addEventListener("drop", careful(async (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) await take(file);
}));
addEventListener("beforeunload", (event) => history.unsaved && event.preventDefault());

$("stage").addEventListener("focus", () => (keyed = $("stage").matches(":focus-visible")));
$("stage").addEventListener("pointermove", () => (keyed = false));

function moveBy(event) {
  const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  event.preventDefault();
  keyed = true;
  if (view.tool) painter.step(across, down, event.shiftKey);
  else view.shift(-40 * across, -40 * down);
}

const isHold = (event) => event.key.toLowerCase() === "h" && !event.ctrlKey && !event.metaKey;

document.addEventListener("keydown", (event) => {
  if (event.target.closest("dialog")) return;
  if (event.key === "Escape") return working ? working.abort() : history.at && setMode("paint");
  if (event.altKey || event.target.closest("select, input:not([type=range], [type=radio], [type=checkbox])")) return;
  const onControl = event.target.closest("button, summary, a, input");
  const onStage = event.target === $("stage");
  if (event.key === "?") return $("help").click();
  if (!history.at) return;
  if (event.key.startsWith("Arrow") && onStage) return moveBy(event);
  if (event.key === " " && !onControl) {
    event.preventDefault();
    if (!event.repeat) [view.hand, view.moved] = [true, false];
  } else if (event.key === "[") resize(Math.floor(painter.size * 0.8));
  else if (event.key === "]") resize(Math.ceil(painter.size * 1.25));
  else if (isHold(event)) holding(true);
  else if (/^[1-9]$/.test(event.key)) $("variants").querySelectorAll("input")[event.key - 1]?.click();
  else {
    const id = event.key === "Enter" && onControl ? null : pressedBy(event);
    if (!id) return;
    event.preventDefault();
    $(id).click();
  }
});

document.addEventListener("keyup", (event) => {
  if (isHold(event)) holding(false);
  if (event.key !== " " || !view.hand) return;
  view.hand = false;
  if (document.activeElement === $("stage") && keyed && !view.moved && view.tool) painter.dab();
});

writeKeys($("keys"));
const ready = (async () => {
  const told = await (await ask("models")).json();
  limits = told.limits;
  for (const model of told.models) {
    const { title, line } = modelWords(model);
    const option = new Option(title, model.name);
    option.dataset.line = line;
    $("model").append(option);
  }
  $("model").dispatchEvent(new Event("change"));
  for (let n = 1; n <= limits.samples; n++) $("samples").append(new Option(n, n));
})();
ready.catch((error) => complain(error, () => location.reload()));
