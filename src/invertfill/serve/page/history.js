// The steps of the work: the original, and what was made of it, each with what is painted on it. None is ever lost:
// a step that was undone stays in the filmstrip, and a fill of an earlier step becomes one more.

export class History {
  constructor() {
    this.steps = [];
    this.at = null;
  }

  start(picture) {
    this.steps = [];
    this.add({ title: "Original", pictures: [picture] });
  }

  // {title, pictures: its variants, ...}, made of the step that was shown.
  add(step) {
    const from = this.at && this.steps.length ? { step: this.at, picture: this.picture, strokes: this.at.painting.done.slice() } : null;
    this.at = { ...step, from, picture: step.pictures[0], painting: { done: [], undone: [] } };
    if (from) from.step.next = this.at;
    this.steps.push(this.at);
  }

  go(step) {
    for (let one = step; one.from; one = one.from.step) {
      [one.from.step.next, one.from.step.picture] = [one, one.from.picture];
    }
    this.at = step;
  }

  get picture() {
    return this.at.picture;
  }

  get back() {
    return this.at?.from?.step;
  }

  // As long as what is painted is what that step was made of.
  get forward() {
    const next = this.at?.next;
    const { done } = this.at?.painting ?? {};
    const same = next && done.length === next.from.strokes.length && done.at(-1) === next.from.strokes.at(-1);
    return same ? next : null;
  }

  get unsaved() {
    return Boolean(this.at) && (this.at.painting.done.length > 0 || (this.steps.length > 1 && !this.steps.at(-1).saved));
  }

  forget() {
    [this.steps, this.at] = [[], null];
  }
}
