// How far the work is, in its fixed place, and a shimmer where it will be seen. Nothing is claimed that isn't known.

const SHIMMER = 512; // pixels of the shimmer's longer side

export class Progress {
  constructor({ bar, text, shimmer }) {
    Object.assign(this, { bar, text, shimmer });
    this.lasted = {}; // what and how many -> seconds that it took the last time
  }

  // what: the text while it is made, such as "Filling". count: of pictures. mask: a canvas, opaque where the shimmer goes.
  start(what, count, mask) {
    const began = performance.now();
    Object.assign(this, { what, count, pictures: 0 });
    this.seconds = () => Math.round((performance.now() - began) / 1000);
    this.before(0, "Sending");
    this.clock = setInterval(() => this.tell(), 500);
    this.shimmer.hidden = !mask;
    if (mask) this.shimmer.style.maskImage = `url(${reduced(mask).toDataURL()})`;
  }

  // What comes before, such as "Sending", and how much of it is done.
  before(share, what) {
    Object.assign(this, { share, first: what });
    this.tell();
  }

  made(pictures) {
    this.pictures = pictures;
    this.tell();
  }

  tell() {
    const waiting = this.share < 1;
    if (waiting) this.bar.value = this.share;
    else if (this.pictures) this.bar.value = this.pictures / this.count;
    else this.bar.removeAttribute("value");
    const doing = this.count > 1 ? `${this.what}, ${this.pictures} of ${this.count} done` : this.what;
    const before = this.lasted[this.key];
    const last = before === undefined ? "" : ` (${before} s last time)`;
    this.text.textContent = waiting ? `${this.first}: ${Math.round(this.share * 100)} %` : `${doing}: ${this.seconds()} s${last}`;
  }

  get key() {
    return `${this.what} ${this.count}`;
  }

  stop(done) {
    clearInterval(this.clock);
    if (done) this.lasted[this.key] = this.seconds();
    this.shimmer.hidden = true;
  }
}

function reduced(canvas) {
  const small = document.createElement("canvas");
  const scale = Math.min(1, SHIMMER / Math.max(canvas.width, canvas.height));
  [small.width, small.height] = [Math.max(1, canvas.width * scale), Math.max(1, canvas.height * scale)];
  small.getContext("2d").drawImage(canvas, 0, 0, small.width, small.height);
  return small;
}
