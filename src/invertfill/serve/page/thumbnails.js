// The filmstrip of steps, and the variants of one.

import { thumbnail } from "./picture.js";

const [SMALL, DETAIL] = [112, 256]; // pixels of the longer side

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Each step keeps its button, so that the focus stays.
export function showFilm(list, { steps, at }, go) {
  for (const step of steps) {
    if (!step.button) {
      step.button = make("button", {}, make("canvas"), make("span", { textContent: step.title }));
      step.button.addEventListener("click", () => go(step));
      list.append(make("li", {}, step.button));
    }
    step.button.firstElementChild.replaceWith((step.picture.small ??= thumbnail(step.picture.image, SMALL)));
    step.button.ariaCurrent = step === at ? "step" : null;
  }
  at.button.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// What was filled and a margin around it: the rest is the same in all.
export function showVariants(group, { pictures, picture, area }, choose) {
  group.hidden = pictures.length < 2;
  const labels = pictures.map((one, i) => {
    const input = make("input", { type: "radio", name: "variant", checked: one === picture, ariaLabel: `Variant ${i + 1}` });
    input.addEventListener("change", () => {
      choose(one);
      group.querySelector(":checked").focus();
    });
    return make("label", {}, input, (one.detail ??= thumbnail(one.image, DETAIL, area)), make("span", { textContent: i + 1 }));
  });
  group.replaceChildren(...labels);
}
