// A frame around the picture, whose sides are dragged outwards. Margins are shares of the picture's sides.

const SIDES = ["left", "top", "right", "bottom"];
const ASPECTS = ["", "1:1", "4:3", "3:2", "16:9", "3:4", "2:3", "9:16"];
const SLACK = 0.2; // around the frame, to drag into

export class Frame {
  // chips: of proportions; left, top, right, bottom: inputs for percentages.
  constructor(view, { frame, grips, chips, changed, ...inputs }) {
    Object.assign(this, { view, frame, grips, chips, changed, inputs, on: false });
    this.margins = { left: 0, top: 0, right: 0, bottom: 0 };
    this.aspect = ""; // such as "16:9"; "" where the margins are free
    for (const grip of grips.children) {
      grip.addEventListener("pointerdown", (event) => grip.setPointerCapture(event.pointerId));
      grip.addEventListener("pointermove", (event) => grip.hasPointerCapture(event.pointerId) && this.drag(grip.dataset.drag, event));
      grip.addEventListener("pointerup", () => this.fit());
    }
    for (const side of SIDES) {
      inputs[side].addEventListener("input", () => this.setMargin(side, inputs[side].value / 100));
      inputs[side].addEventListener("change", () => this.fit());
    }
    for (const aspect of ASPECTS) {
      const [label, input, text] = ["label", "input", "span"].map((tag) => document.createElement(tag));
      Object.assign(input, { type: "radio", name: "aspect", value: aspect, checked: !aspect });
      input.addEventListener("change", () => this.setAspect(aspect));
      text.textContent = aspect || "Free";
      label.append(input, text);
      chips.append(label);
    }
    view.addEventListener("place", () => this.place());
  }

  told() {
    for (const side of SIDES) {
      const input = this.inputs[side];
      if (document.activeElement !== input) input.value = Math.round(this.margins[side] * 100);
    }
    for (const chip of this.chips.querySelectorAll("input")) chip.checked = chip.value === this.aspect;
    this.changed();
  }

  set(on) {
    this.on = on;
    this.frame.hidden = this.grips.hidden = !on;
    this.fit();
  }

  get empty() {
    return SIDES.every((side) => this.margins[side] < 0.001);
  }

  // Of the fields that the server takes.
  get fields() {
    if (this.aspect) return { aspect: this.aspect };
    return Object.fromEntries(SIDES.map((side) => [side, `${(this.margins[side] * 100).toFixed(2)}%`]));
  }

  // Where the picture will lie in the larger one.
  get inside() {
    const { left, top, right, bottom } = this.margins;
    const [across, down] = [1 + left + right, 1 + top + bottom];
    return { left: left / across, top: top / down, width: 1 / across, height: 1 / down };
  }

  setMargin(side, share) {
    this.aspect = "";
    this.margins[side] = Math.min(1, Math.max(0, share || 0));
    this.place();
    this.told();
  }

  setAspect(aspect) {
    const { width, height } = this.view;
    const [across, down] = aspect ? aspect.split(":").map(Number) : [width, height];
    const change = across / down / (width / height);
    const [sides, ends] = [Math.max(0, change - 1) / 2, Math.max(0, 1 / change - 1) / 2];
    this.margins = { left: sides, right: sides, top: ends, bottom: ends };
    this.aspect = aspect;
    this.fit();
    this.told();
  }

  drag(side, event) {
    const at = this.view.at(event);
    const [x, y] = [at.x / this.view.width, at.y / this.view.height];
    this.setMargin(side, { left: -x, top: -y, right: x - 1, bottom: y - 1 }[side]);
  }

  // The frame as a whole is seen, with some room to drag into.
  fit() {
    const room = (side) => (this.on ? this.margins[side] + SLACK : 0);
    this.view.room = Object.fromEntries(SIDES.map((side) => [side, room(side)]));
    this.view.fit();
  }

  place() {
    if (!this.on) return;
    const { view, margins } = this;
    const [width, height] = [view.width * view.scale, view.height * view.scale];
    for (const layer of [this.frame, this.grips]) {
      Object.assign(layer.style, {
        left: `${view.x - margins.left * width}px`,
        top: `${view.y - margins.top * height}px`,
        width: `${width * (1 + margins.left + margins.right)}px`,
        height: `${height * (1 + margins.top + margins.bottom)}px`,
      });
    }
    const pixels = (size, ...sides) => Math.round(size * (1 + sides[0] + sides[1]));
    this.frame.dataset.size = `${pixels(view.width, margins.left, margins.right)} × ${pixels(view.height, margins.top, margins.bottom)}`;
  }
}
