// Before beside after, under the same zoom. The line stays where it is on the screen while the picture moves under it.

const INSET = 24; // CSS pixels from the stage's edge: the knob can always be taken hold of

export class Comparison {
  constructor(view, { before, cut, line }) {
    Object.assign(this, { view, before, cut, line, on: false, held: false });
    cut.addEventListener("input", () => this.place());
    line.addEventListener("pointerdown", (event) => {
      line.setPointerCapture(event.pointerId);
      cut.focus({ preventScroll: true });
    });
    line.addEventListener("pointermove", (event) => line.hasPointerCapture(event.pointerId) && this.drag(event));
    view.addEventListener("place", () => this.place());
  }

  // The image of before, and where it lies in the picture, in shares of its sides.
  show(image, { left, top, width, height } = { left: 0, top: 0, width: 1, height: 1 }) {
    this.before.replaceChildren(...(image ? [image] : []));
    if (!image) return;
    const share = (value) => `${value * 100}%`;
    Object.assign(image.style, { left: share(left), top: share(top), width: share(width), height: share(height) });
  }

  set(on, held = false) {
    if (on && !this.on) this.cut.value = 50;
    Object.assign(this, { on, held });
    this.before.hidden = !on && !held;
    this.line.hidden = this.cut.hidden = !on || held;
    this.place();
  }

  // The part of the stage that shows the picture.
  get range() {
    const { view } = this;
    const [left, right] = [Math.max(0, view.x), Math.min(view.stage.clientWidth, view.x + view.width * view.scale)];
    return { left: Math.max(INSET, left), right: Math.min(view.stage.clientWidth - INSET, right) };
  }

  drag(event) {
    const { left, right } = this.range;
    const x = event.clientX - this.view.stage.getBoundingClientRect().left;
    this.cut.value = ((x - left) / (right - left)) * 100;
    this.place();
  }

  place() {
    const { view, range } = this;
    const x = range.left + ((range.right - range.left) * this.cut.value) / 100;
    this.line.style.left = `${x}px`;
    const share = Math.min(1, Math.max(0, (x - view.x) / (view.width * view.scale)));
    this.before.style.clipPath = this.held ? "none" : `inset(0 ${100 - share * 100}% 0 0)`;
  }
}
