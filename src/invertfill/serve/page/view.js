// Where the picture lies on the stage. Painting, comparing and extending share it, so that nothing moves between them.

const MOST = 16; // screen pixels for one of the picture's
const MARGIN = 12; // around the whole picture, in CSS pixels
const NONE = { left: 0, top: 0, right: 0, bottom: 0 };

export class View extends EventTarget {
  constructor(stage, sheet) {
    super();
    Object.assign(this, { stage, sheet, width: 0, height: 0, x: 0, y: 0, scale: 1, whole: true });
    this.tool = null; // what one finger does; without one it moves the picture
    this.hand = false; // moves it even so
    this.room = NONE; // kept free around the picture, in shares of its sides
    this.fingers = new Map();
    this.drawing = false;
    const on = (type, what) => stage.addEventListener(type, what);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.up(event));
    on("mousedown", (event) => event.button === 1 && event.preventDefault()); // no scrolling by the middle button
    on("wheel", (event) => this.wheel(event));
    on("dblclick", (event) => (!this.tool || this.hand) && this.toggle(event.clientX, event.clientY));
    new ResizeObserver(() => (this.whole ? this.fit() : this.place())).observe(stage);
  }

  // Another picture; one of the same size takes the place of the last.
  show(width, height) {
    if (width === this.width && height === this.height) return;
    Object.assign(this, { width, height });
    this.sheet.style.width = `${width}px`;
    this.sheet.style.height = `${height}px`;
    this.fit();
  }

  // In the picture's own pixels; one may cover many of the screen's.
  at({ clientX, clientY }) {
    const box = this.stage.getBoundingClientRect();
    return { x: (clientX - box.left - this.x) / this.scale, y: (clientY - box.top - this.y) / this.scale };
  }

  get percent() {
    return Math.round(this.scale * devicePixelRatio * 100);
  }

  get least() {
    const { left, top, right, bottom } = this.room;
    const across = (this.stage.clientWidth - 2 * MARGIN) / (this.width * (1 + left + right));
    const down = (this.stage.clientHeight - 2 * MARGIN) / (this.height * (1 + top + bottom));
    return Math.max(0.001, Math.min(across, down));
  }

  fit() {
    if (!this.stage.clientWidth || !this.width) return;
    this.scale = this.least;
    this.whole = true;
    this.place();
  }

  zoom(times, clientX, clientY) {
    const scale = Math.min(MOST / devicePixelRatio, Math.max(Math.min(this.least, 1 / devicePixelRatio), this.scale * times));
    const box = this.stage.getBoundingClientRect();
    const [x, y] = [(clientX ?? box.left + box.width / 2) - box.left, (clientY ?? box.top + box.height / 2) - box.top];
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.whole = Math.abs(scale / this.least - 1) < 0.001;
    this.place();
  }

  // One pixel of the picture on one of the screen, or the whole of it.
  toggle(clientX, clientY) {
    const actual = 1 / devicePixelRatio;
    if (Math.abs(this.scale / actual - 1) < 0.001) this.fit();
    else this.zoom(actual / this.scale, clientX, clientY);
  }

  shift(x, y) {
    this.x += x;
    this.y += y;
    this.whole = false;
    this.place();
  }

  // What is smaller than the stage lies in its middle; what is larger never leaves it.
  place() {
    const { left, top, right, bottom } = this.room;
    const along = (at, size, before, after, room) => {
      const whole = size * (1 + before + after);
      if (this.whole || whole <= room) return (room - whole) / 2 + before * size;
      return Math.min(room / 2, Math.max(room / 2 - size, at));
    };
    this.x = along(this.x, this.width * this.scale, left, right, this.stage.clientWidth);
    this.y = along(this.y, this.height * this.scale, top, bottom, this.stage.clientHeight);
    this.sheet.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.sheet.classList.toggle("near", this.scale * devicePixelRatio > 3);
    this.dispatchEvent(new Event("place"));
  }

  // One finger draws, two move and zoom.

  down(event) {
    if ((event.pointerType === "mouse" && event.button > 1) || event.target.closest("[data-drag]")) return;
    this.stage.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, event);
    if (this.fingers.size === 1 && event.button === 0 && this.tool && !this.hand) {
      this.drawing = true;
      this.tool.down(event);
    } else this.drop();
  }

  move(event) {
    const before = this.fingers.get(event.pointerId);
    if (before && !this.drawing) this.drag(event, before);
    if (before) this.fingers.set(event.pointerId, event);
    this.tool?.move(event);
  }

  up(event) {
    this.fingers.delete(event.pointerId);
    if (this.drawing) this.tool?.up();
    this.drawing = false;
  }

  // The second finger has come: what the first began was no stroke.
  drop() {
    if (this.drawing) this.tool?.drop();
    this.drawing = false;
  }

  drag(event, before) {
    this.moved = true;
    const other = [...this.fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
    if (other) {
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      this.zoom(apart(event) / Math.max(1, apart(before)), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    }
    const share = other ? 0.5 : 1;
    this.shift((event.clientX - before.clientX) * share, (event.clientY - before.clientY) * share);
  }

  wheel(event) {
    event.preventDefault();
    if (event.shiftKey) return this.shift(-event.deltaX - event.deltaY, 0);
    const lines = event.deltaMode ? 16 : 1; // Firefox may count lines
    this.zoom(Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 100 : 400)), event.clientX, event.clientY);
  }
}
