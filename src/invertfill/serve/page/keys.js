// The keyboard: what each key does is said here alone. The tooltips and the sheet of shortcuts are made of it.

import { dismiss } from "./messages.js";

// [keys as KeyboardEvent.key has them, how they are written, what they do, the button that does it]
const KEYS = [
  [["b"], "B", "Brush", "brush"],
  [["e"], "E", "Eraser", "eraser"],
  [["l"], "L", "Lasso", "lasso"],
  [["r"], "R", "Rectangle", "rectangle"],
  [["ctrl+z"], "Ctrl+Z", "Undo", "undo"],
  [["ctrl+shift+z", "ctrl+y"], "Ctrl+Shift+Z", "Redo", "redo"],
  [["x"], "X", "Clear the painting", "clear"],
  [["enter"], "Enter", "Fill, or extend", "go"],
  [["a"], "A", "Fill the same places again", "again"],
  [["c"], "C", "Compare before and after", "compare"],
  [["+", "="], "+", "Zoom in", "closer"],
  [["-"], "−", "Zoom out", "farther"],
  [["0"], "0", "Whole picture", "fit"],
  [["z"], "Z", "100 %, and back", "actual"],
  [["d"], "D", "Download", "download"],
  [["?"], "?", "Shortcuts", "help"],
];

// What no button does.
const OTHERS = [
  ["[ and ]", "Smaller and larger brush"],
  ["H", "Hold to see before"],
  ["1 to 9", "Choose a variant"],
  ["Esc", "Cancel, or leave"],
  ["Shift", "Straight lines with the brush"],
  ["Alt", "Lasso and rectangle take away"],
  ["Space and drag", "Move the picture"],
  ["Arrows, Space", "Move the brush, paint (on the photo)"],
];

function pressedBy(event) {
  const control = event.ctrlKey || event.metaKey;
  const key = `${control ? "ctrl+" : ""}${control && event.shiftKey ? "shift+" : ""}${event.key.toLowerCase()}`;
  return KEYS.find(([keys]) => keys.includes(key))?.[3];
}

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TYPING = "select, input:not([type=range], [type=radio], [type=checkbox])";

// doing: what the keys do that press no button. arrow() says whether it took the key; active(): a photo is open.
export function onKeys(doing) {
  let spaced = false;
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (target.closest("dialog")) return;
    if (key === "Escape") {
      dismiss();
      return doing.escape();
    }
    if (event.altKey || target.closest(TYPING)) return;
    const plain = !event.ctrlKey && !event.metaKey;
    const onControl = target.closest("button, summary, a, input");
    let taken = true;
    if (!doing.active()) taken = key === "?" && press("help");
    else if (key in WAYS) taken = doing.arrow(...WAYS[key], event.shiftKey);
    else if (key === " ") {
      taken = !onControl;
      if (taken && !event.repeat) doing.space((spaced = true));
    } else if (plain && key.toLowerCase() === "h") event.repeat || doing.hold(true);
    else if (plain && /^[1-9]$/.test(key)) doing.variant(Number(key));
    else if (plain && (key === "[" || key === "]")) doing.size(key === "[" ? 0.8 : 1.25);
    else taken = !(key === "Enter" && onControl) && press(pressedBy(event));
    if (taken) event.preventDefault();
  });
  document.addEventListener("keyup", ({ key }) => {
    if (key.toLowerCase() === "h") doing.hold(false);
    if (key === " " && spaced) doing.space((spaced = false));
  });
}

function press(id) {
  document.getElementById(id)?.click();
  return Boolean(id);
}

export function writeKeys(list) {
  for (const [, written, what, id] of KEYS) {
    const button = document.getElementById(id);
    if (button.matches(".icon")) button.dataset.tip = `${button.ariaLabel ?? what} (${written})`;
    list.append(...line(written, what));
  }
  for (const one of OTHERS) list.append(...line(...one));
}

function line(written, what) {
  const [term, meaning] = [document.createElement("dt"), document.createElement("dd")];
  [term.textContent, meaning.textContent] = [written, what];
  return [term, meaning];
}
