// Pictures: a file, which stays as it is, and an image of it for the browser.

import * as engine from "./engine.js";
import { Refused } from "./messages.js";

const ENDINGS = { "image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp", "image/tiff": "tif", "image/bmp": "bmp", "image/avif": "avif", "image/heic": "heic" };

// What browsers can't decode, such as TIFF and HEIC, the engine shows, reduced.
export async function open(file, name) {
  const url = URL.createObjectURL(file);
  try {
    return { file, name, url, image: await decoded(url) };
  } catch {
    try {
      const preview = await engine.preview(file);
      return { file, name, url, image: await decoded(URL.createObjectURL(preview)), reduced: true };
    } catch (error) {
      if (error instanceof Refused && error.status !== 422) throw error;
      throw new Error(`${name}: not a picture that can be read.`);
    }
  }
}

export const release = ({ url, image }) => [url, image.src].forEach(URL.revokeObjectURL);

async function decoded(url) {
  const image = new Image();
  [image.src, image.draggable] = [url, false];
  await image.decode();
  return image;
}

// An image made small; or the square around a part of it, given in shares of its sides, with a margin.
export function thumbnail(image, longest, area) {
  const [across, down] = [image.naturalWidth, image.naturalHeight];
  let [x, y, wide, high] = [0, 0, across, down];
  if (area) {
    const side = 1.4 * Math.max(area.width * across, area.height * down, 32);
    const along = (before, size, whole) => Math.min(Math.max(0, (before + size / 2) * whole - side / 2), Math.max(0, whole - side));
    [x, y] = [along(area.left, area.width, across), along(area.top, area.height, down)];
    [wide, high] = [Math.min(side, across), Math.min(side, down)];
  }
  const canvas = document.createElement("canvas");
  canvas.ariaHidden = "true"; // words stand beside it
  const scale = longest / Math.max(wide, high);
  [canvas.width, canvas.height] = [Math.max(1, wide * scale), Math.max(1, high * scale)];
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, x, y, wide, high, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// holiday.png -> holiday-filled.png, with the ending of what it has become.
export function filledName(name, type) {
  const dot = name.lastIndexOf(".");
  const [stem, ending] = dot > 0 ? [name.slice(0, dot), name.slice(dot + 1)] : [name, ""];
  const kind = ENDINGS[type] ?? "png";
  const same = ending.toLowerCase().replace("jpeg", "jpg").replace("tiff", "tif").replace("heif", "heic") === kind;
  return `${stem.replace(/-filled$/, "")}-filled.${same ? ending : kind}`;
}

export async function asBlob(canvas) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  if (!blob) throw new Error("The browser has no room for a mask of that size.");
  return blob;
}
