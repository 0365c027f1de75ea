// A photo's file, which stays as it is, and a reduced picture of it to look at and paint on.

import { ask } from "./server.js";

const LONGEST = 2048; // pixels of the longer side; the server brings the mask to the photo's own size

export async function open(file, name) {
  let shown;
  try {
    shown = await bitmapOf(file);
  } catch (error) {
    throw new Error(`${name}: not a picture that can be read. ${error.name === "Error" ? error.message : ""}`);
  }
  const scale = Math.min(1, LONGEST / Math.max(shown.width, shown.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(shown.width * scale));
  canvas.height = Math.max(1, Math.round(shown.height * scale));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(shown, 0, 0, canvas.width, canvas.height);
  shown.close();
  return { file, name, canvas };
}

// What browsers can't decode, such as TIFF and HEIC, the server shows.
async function bitmapOf(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    return createImageBitmap(await (await ask("preview", { image: file })).blob());
  }
}

export const asBlob = (canvas) => new Promise((resolve) => canvas.toBlob(resolve));

// The photo where it lies in the extended picture, for the comparison.
export function onLargerCanvas(canvas, { left, top, right, bottom }) {
  const larger = document.createElement("canvas");
  larger.width = canvas.width * (1 + left + right);
  larger.height = canvas.height * (1 + top + bottom);
  const pen = larger.getContext("2d");
  pen.fillStyle = "#888";
  pen.fillRect(0, 0, larger.width, larger.height);
  pen.drawImage(canvas, canvas.width * left, canvas.height * top);
  return larger;
}
