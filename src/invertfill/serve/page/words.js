// What the page calls things: models by what they are for, not by the names of their weights.

const MODELS = [
  [/^auto$/, "Automatic", "Any photo; faces by the portrait model."],
  [/^faces/, "Portrait", "Knows faces that look into the camera."],
  [/^scenery/, "Landscape", "Knows land, water and sky."],
  [/^photos/, "Photograph", "Knows a little of everything."],
  [/^patchmatch$/, "Texture", "Repeats what is around: walls, grass, fabric."],
];

export function modelWords({ name, domain }) {
  const [, title, line] = MODELS.find(([known]) => known.test(name)) ?? [null, name, domain];
  return { title, line };
}

// "Filled with the portrait model: a face was found."
export function howFilled(model, why) {
  const [faces] = why.match(/(a face was|\d+ faces were) found/) ?? [];
  if (faces) return `Filled with the portrait model: ${faces}.`;
  if (!model) return "";
  if (model === "patchmatch") return "Filled with what is around the hole.";
  return `Filled with the ${modelWords({ name: model }).title.toLowerCase()} model.`;
}

// Without the server's names for what the page calls otherwise, the options of other doors, and terms of the trade.
export function plain(note) {
  const clauses = note.replace(/^(image|mask): /, "").split("; ");
  const text = clauses.filter((clause) => !/\b\w+_\w+\b|(^|\s)--\w|latent/.test(clause)).join("; ");
  return text && `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;
}
