// Painting a mask over a picture: strokes that can be undone, zoom, one finger paints and two move.

const MOST = 16; // times closer than the whole picture
const element = (id) => document.getElementById(id);

export class Painter {
  constructor(changed) {
    [this.stage, this.sheet, this.photo, this.paint, this.ring] = ["stage", "sheet", "photo", "paint", "ring"].map(element);
    this.changed = changed;
    this.size = 60;
    this.erasing = false;
    this.done = []; // strokes, masks and clearings, in order
    this.undone = [];
    this.fingers = new Map();
    this.stroke = null;
    this.spot = { x: 0, y: 0 };
    this.whole = true;
    const on = (type, what) => this.stage.addEventListener(type, what);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.up(event));
    on("pointerleave", () => (this.ring.hidden = document.activeElement !== this.stage));
    on("wheel", (event) => this.wheel(event));
    on("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.whole && this.fit()).observe(this.stage);
  }

  show(canvas) {
    for (const layer of [this.photo, this.paint]) [layer.width, layer.height] = [canvas.width, canvas.height];
    this.sheet.style.width = `${canvas.width}px`;
    this.sheet.style.height = `${canvas.height}px`;
    this.photo.getContext("2d").drawImage(canvas, 0, 0);
    this.spot = { x: canvas.width / 2, y: canvas.height / 2 };
    this.done = [];
    this.undone = [];
    this.fit();
    this.changed();
  }

  // Changes

  add(change) {
    this.done.push(change);
    this.undone = [];
    this.draw(change);
    this.changed();
  }

  undo() {
    if (!this.done.length) return;
    this.undone.push(this.done.pop());
    this.redraw();
  }

  redo() {
    if (!this.undone.length) return;
    this.done.push(this.undone.pop());
    this.redraw();
  }

  clear() {
    if (!this.empty) this.add({ clear: true });
  }

  get empty() {
    const last = this.done.at(-1);
    return !last || Boolean(last.clear);
  }

  // A mask as a file may be as fine as the photo itself, so it is sent as it is where nothing else was painted.
  get onlyFile() {
    return this.done.at(-1)?.file;
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

  draw(change, from = 0) {
    const pen = this.paint.getContext("2d");
    if (change.clear || change.layer) pen.clearRect(0, 0, this.paint.width, this.paint.height);
    if (change.layer) pen.drawImage(change.layer, 0, 0);
    if (!change.points) return;
    pen.globalCompositeOperation = change.erasing ? "destination-out" : "source-over";
    pen.strokeStyle = pen.fillStyle = "#ff2f87";
    [pen.lineWidth, pen.lineCap, pen.lineJoin] = [change.size, "round", "round"];
    pen.beginPath();
    const points = change.points.slice(Math.max(0, from - 1));
    pen.moveTo(points[0].x, points[0].y);
    for (const point of points) pen.lineTo(point.x, point.y);
    pen.stroke();
    if (points.length === 1) {
      pen.arc(points[0].x, points[0].y, change.size / 2, 0, 2 * Math.PI);
      pen.fill();
    }
    pen.globalCompositeOperation = "source-over";
  }

  redraw() {
    this.paint.getContext("2d").clearRect(0, 0, this.paint.width, this.paint.height);
    for (const change of this.done) this.draw(change);
    this.changed();
  }

  // White on transparent, as the server reads masks.
  mask() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.paint.width, this.paint.height];
    const pen = canvas.getContext("2d");
    pen.drawImage(this.paint, 0, 0);
    pen.globalCompositeOperation = "source-in";
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    return canvas;
  }

  // Fingers, pens and mice

  at(event) {
    const box = this.sheet.getBoundingClientRect();
    const scale = this.paint.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  down(event) {
    if (this.sheet.hidden || (event.pointerType === "mouse" && event.button > 1)) return;
    this.stage.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, event);
    if (this.fingers.size > 1 || event.button === 1) {
      event.preventDefault();
      this.drop();
    } else {
      this.stroke = { points: [this.at(event)], size: this.size, erasing: this.erasing };
      this.draw(this.stroke);
    }
  }

  move(event) {
    if (this.sheet.hidden) return;
    const before = this.fingers.get(event.pointerId);
    if (before && !this.stroke) this.drag(event, before);
    if (before) this.fingers.set(event.pointerId, event);
    this.spot = this.at(event);
    this.aim(event.pointerType !== "touch");
    if (!this.stroke) return;
    const from = this.stroke.points.length;
    for (const step of event.getCoalescedEvents?.() ?? [event]) this.stroke.points.push(this.at(step));
    if (this.stroke.points.length === from) this.stroke.points.push(this.at(event));
    this.draw(this.stroke, from);
  }

  up(event) {
    this.fingers.delete(event.pointerId);
    if (!this.stroke) return;
    const stroke = this.stroke;
    this.stroke = null;
    this.done.push(stroke);
    this.undone = [];
    this.redraw(); // as one line, so that its edge is what undo and redo will give again
  }

  // The second finger has come: what the first began was no stroke.
  drop() {
    if (!this.stroke) return;
    this.stroke = null;
    this.redraw();
  }

  drag(event, before) {
    const other = [...this.fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
    if (other) {
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      this.zoom(apart(event) / Math.max(1, apart(before)), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    }
    const share = other ? 0.5 : 1;
    this.shift((event.clientX - before.clientX) * share, (event.clientY - before.clientY) * share);
  }

  wheel(event) {
    if (this.sheet.hidden || (!event.ctrlKey && !event.metaKey && this.whole)) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) this.zoom(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
    else this.shift(-event.deltaX, -event.deltaY);
  }

  key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (this.sheet.hidden || (!way && event.key !== " ")) return;
    event.preventDefault();
    if (way) {
      const step = event.shiftKey ? 1 : this.size / 3;
      this.spot.x = Math.min(this.paint.width, Math.max(0, this.spot.x + way[0] * step));
      this.spot.y = Math.min(this.paint.height, Math.max(0, this.spot.y + way[1] * step));
    } else {
      this.add({ points: [{ ...this.spot }], size: this.size, erasing: this.erasing });
    }
    this.aim(true);
  }

  aim(visible) {
    const ring = this.ring;
    ring.hidden = !visible;
    ring.style.left = `${this.spot.x}px`;
    ring.style.top = `${this.spot.y}px`;
    ring.style.width = ring.style.height = `${this.size}px`;
    ring.style.setProperty("--hair", `${1.5 / this.scale}px`);
  }

  // Zoom

  fit() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !this.photo.width) return;
    this.least = Math.min((width - 16) / this.photo.width, (height - 16) / this.photo.height);
    this.scale = this.least;
    this.x = (width - this.photo.width * this.scale) / 2;
    this.y = (height - this.photo.height * this.scale) / 2;
    this.whole = true;
    this.place();
  }

  zoom(times, clientX, clientY) {
    const scale = Math.min(this.least * MOST, this.scale * times);
    if (scale <= this.least) return this.fit();
    const box = this.stage.getBoundingClientRect();
    const [x, y] = [(clientX ?? box.left + box.width / 2) - box.left, (clientY ?? box.top + box.height / 2) - box.top];
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.whole = false;
    this.place();
  }

  shift(x, y) {
    this.x += x;
    this.y += y;
    this.whole = false;
    this.place();
  }

  place() {
    this.sheet.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
  }
}
