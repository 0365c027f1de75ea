// How photos come in: chosen, taken from the examples, pasted, dropped.

import { careful } from "./messages.js";

// Taken out before the input is emptied, so that the same file can be chosen again.
export function onChosen(input, what) {
  input.addEventListener(
    "change",
    careful(async () => {
      const [file] = input.files;
      input.value = "";
      if (file) await what(file);
    }),
  );
}

// take(file, name)
export function onArrival(input, take) {
  onChosen(input, (file) => take(file));
  for (const button of document.querySelectorAll("[data-example]")) {
    const { example } = button.dataset;
    button.addEventListener("click", careful(async () => take(await (await fetch(new URL(example, import.meta.url))).blob(), example)));
  }

  const over = (is) => document.body.classList.toggle("over", is);
  const on = (type, what) => document.addEventListener(type, careful(what));
  on("paste", async ({ clipboardData }) => {
    const file = [...clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) await take(file);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(event.dataTransfer.types.includes("Files"));
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || over(false));
  on("drop", async (event) => {
    event.preventDefault();
    over(false);
    const [file] = event.dataTransfer.files;
    if (file) await take(file);
  });
}
