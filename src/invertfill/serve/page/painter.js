// Painting a mask over a picture: brush, eraser, lasso and rectangle; every change can be undone.

const LONGEST = 2048; // pixels of the mask's longer side; the server brings it to the photo's own size
const PAINT = "#ff2f87";
const CLICK = 4; // CSS pixels: less is no drag
const SHOWN = 1200; // ms that the brush's size stays written beside it

export class Painter {
  constructor(view, { paint, ring }, { changed, released }) {
    Object.assign(this, { view, paint, ring, changed, released });
    this.base = document.createElement("canvas"); // all but the stroke that is being drawn
    this.edges = { grow: 0, feather: 0 }; // what a fill is asked for: pixels of the photo
    this.edge = null; // a canvas of them
    this.painting = { done: [], undone: [] }; // strokes, masks and clearings, in order, in pixels of the photo
    this.tool = "brush";
    this.size = 60; // of the brush, in pixels of the photo
    this.stroke = null;
    this.spot = { x: 0, y: 0 };
    view.stage.addEventListener("pointerleave", () => this.aim(document.activeElement === view.stage));
    view.addEventListener("place", () => this.aim(!ring.hidden));
  }

  show(width, height, painting) {
    const scale = Math.min(1, LONGEST / Math.max(width, height));
    for (const layer of [this.paint, this.base]) {
      layer.width = Math.max(1, Math.round(width * scale));
      layer.height = Math.max(1, Math.round(height * scale));
    }
    Object.assign(this, { width, height, painting, stroke: null, last: null, spot: { x: width / 2, y: height / 2 } });
    this.aim(false);
    this.redraw();
  }

  // Changes

  add(change) {
    this.painting.done.push(change);
    this.painting.undone = [];
    this.draw(this.base, change);
    this.trace();
    this.changed();
  }

  undo() {
    this.painting.undone.push(this.painting.done.pop());
    this.redraw();
  }

  redo() {
    this.painting.done.push(this.painting.undone.pop());
    this.redraw();
  }

  clear() {
    this.last = null; // where a straight line would begin
    if (!this.empty) this.add({ clear: true });
  }

  get empty() {
    const last = this.painting.done.at(-1);
    return !last || Boolean(last.clear);
  }

  // A mask as a file may be as fine as the photo itself, so it is sent as it is where nothing else was painted.
  get onlyFile() {
    return this.painting.done.at(-1)?.file;
  }

  // White is hole in the file; here the hole is what is not transparent.
  load(bitmap, file) {
    const layer = document.createElement("canvas");
    [layer.width, layer.height] = [this.paint.width, this.paint.height];
    const pen = layer.getContext("2d");
    pen.drawImage(bitmap, 0, 0, layer.width, layer.height);
    const pixels = pen.getImageData(0, 0, layer.width, layer.height);
    const data = pixels.data;
    for (let i = 0; i < data.length; i += 4) {
      const light = (0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]) * (data[i + 3] / 255);
      [data[i], data[i + 1], data[i + 2], data[i + 3]] = [255, 47, 135, light > 127 ? 255 : 0];
    }
    pen.putImageData(pixels, 0, 0);
    this.add({ layer, file });
  }

  draw(canvas, change, from = 0) {
    const pen = canvas.getContext("2d");
    if (change.clear || change.layer) pen.clearRect(0, 0, canvas.width, canvas.height);
    if (change.layer) pen.drawImage(change.layer, 0, 0);
    if (!change.points) return;
    pen.save();
    pen.scale(canvas.width / this.width, canvas.height / this.height);
    pen.globalCompositeOperation = change.erasing ? "destination-out" : "source-over";
    pen.strokeStyle = pen.fillStyle = PAINT;
    [pen.lineWidth, pen.lineCap, pen.lineJoin] = [change.size, "round", "round"];
    pen.beginPath();
    const points = change.points.slice(Math.max(0, from - 1));
    const [first, end] = [points[0], points.at(-1)];
    if (change.shape === "rectangle") pen.rect(first.x, first.y, end.x - first.x, end.y - first.y);
    else if (change.shape === "brush" && points.length === 1) pen.arc(first.x, first.y, change.size / 2, 0, 2 * Math.PI);
    else for (const point of points) pen.lineTo(point.x, point.y);
    if (change.shape === "brush" && points.length > 1) pen.stroke();
    else pen.fill();
    pen.restore();
  }

  redraw() {
    this.base.getContext("2d").clearRect(0, 0, this.base.width, this.base.height);
    for (const change of this.painting.done) this.draw(this.base, change);
    this.trace();
    this.changed();
  }

  // How far the hole is made larger, and beyond that how far the fill fades.
  setEdges(edges) {
    this.edges = edges;
    this.trace();
  }

  trace() {
    const { grow, feather } = this.edges;
    const scale = this.base.width / this.width;
    this.edge = null;
    if (grow + feather > 0 && !this.empty) {
      this.edge = canvasLike(this.base);
      const pen = this.edge.getContext("2d");
      for (const [reach, alpha] of [[grow + feather, 0.35], [grow, 0.7]]) {
        pen.globalAlpha = alpha;
        if (reach) pen.drawImage(widened(this.base, reach * scale), 0, 0);
      }
    }
    this.preview();
  }

  preview() {
    const pen = this.paint.getContext("2d");
    pen.clearRect(0, 0, this.paint.width, this.paint.height);
    if (this.edge) pen.drawImage(this.edge, 0, 0);
    pen.drawImage(this.base, 0, 0);
    if (this.stroke) this.draw(this.paint, this.stroke);
  }

  // White on black.
  mask(width = this.paint.width, height = this.paint.height) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d");
    pen.drawImage(this.base, 0, 0, width, height);
    for (const [how, colour] of [["source-in", "#fff"], ["destination-over", "#000"]]) {
      [pen.globalCompositeOperation, pen.fillStyle] = [how, colour];
      pen.fillRect(0, 0, width, height);
    }
    return canvas;
  }

  // The box around what is painted, in shares of the picture's sides; null where all was erased again.
  get area() {
    const { width, height } = this.base;
    const { data } = this.base.getContext("2d").getImageData(0, 0, width, height);
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (let y = 0, i = 3; y < height; y++) {
      for (let x = 0; x < width; x++, i += 4) {
        if (data[i] < 128) continue;
        [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
        [top, bottom] = [Math.min(top, y), y + 1];
      }
    }
    if (right <= left) return null;
    return { left: left / width, top: top / height, width: (right - left) / width, height: (bottom - top) / height };
  }

  // Fingers, pens, mice and keys

  down(event) {
    const shape = this.tool === "eraser" ? "brush" : this.tool;
    const [at, line] = [this.view.at(event), shape === "brush" && event.shiftKey];
    const erasing = this.tool === "eraser" || (event.altKey && shape !== "brush");
    this.stroke = { shape, erasing, size: this.size, straight: line, points: line && this.last ? [this.last, at] : [at] };
    this.start = at;
    this.preview();
  }

  move(event) {
    this.spot = this.view.at(event);
    this.aim(event.pointerType !== "touch");
    if (!this.stroke) return;
    const { points, shape, straight } = this.stroke;
    if (straight || shape === "rectangle") {
      const apart = Math.hypot(this.spot.x - this.start.x, this.spot.y - this.start.y) * this.view.scale;
      if (apart > CLICK) this.stroke.points = [this.start, this.spot];
      return this.preview();
    }
    const from = points.length;
    for (const step of event.getCoalescedEvents?.() ?? []) points.push(this.view.at(step));
    if (points.length === from) points.push(this.spot);
    if (shape === "lasso") this.preview();
    else this.draw(this.paint, this.stroke, from);
  }

  up() {
    const stroke = this.stroke;
    this.stroke = null;
    this.last = stroke.shape === "brush" ? stroke.points.at(-1) : null;
    if (stroke.shape === "brush" || stroke.points.length > 1) this.add(stroke);
    this.released(stroke);
  }

  drop() {
    this.stroke = null;
    this.preview();
  }

  step(across, down, fine) {
    const by = fine ? 1 : Math.max(1, this.size / 3);
    this.spot = {
      x: Math.min(this.width, Math.max(0, this.spot.x + across * by)),
      y: Math.min(this.height, Math.max(0, this.spot.y + down * by)),
    };
    this.aim(true);
  }

  dab() {
    this.add({ shape: "brush", points: [{ ...this.spot }], size: this.size, erasing: this.tool === "eraser" });
    this.aim(true);
  }

  resize(size) {
    this.size = size;
    this.ring.classList.add("told");
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.ring.classList.remove("told"), SHOWN);
    this.aim(!this.ring.hidden);
  }

  // The brush's outline.
  aim(visible) {
    const { ring, view, spot } = this;
    ring.hidden = !visible || view.tool !== this || !["brush", "eraser"].includes(this.tool);
    ring.dataset.size = `${Math.round(this.size)} px`;
    ring.style.left = `${view.x + spot.x * view.scale}px`;
    ring.style.top = `${view.y + spot.y * view.scale}px`;
    ring.style.width = ring.style.height = `${this.size * view.scale}px`;
  }
}

function canvasLike({ width, height }) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

// What is painted, wider all round. No step is longer than the last ones together, so that no gap is left.
function widened(layer, by) {
  let wide = layer;
  for (let left = by, step = 1; left > 0; left -= step, step *= 2) {
    step = Math.min(step, left);
    const next = canvasLike(layer);
    const pen = next.getContext("2d");
    pen.drawImage(wide, 0, 0);
    for (let turn = 0; turn < 2 * Math.PI; turn += Math.PI / 4) {
      pen.drawImage(wide, step * Math.cos(turn), step * Math.sin(turn));
    }
    wide = next;
  }
  return wide;
}
