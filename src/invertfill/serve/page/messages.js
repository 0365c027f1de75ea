// What is said to the person: to screen readers, in the red line, and in questions.

// What can't be done, in a sentence for a person.
export class Refused extends Error {
  // status: of HTTP; 0 where nobody answered: then the remedy says what helps
  constructor(message, status, remedy = "") {
    super(message);
    Object.assign(this, { status, remedy });
  }
}

const $ = (id) => document.getElementById(id);

export function say(text) {
  $("said").textContent = text;
}

export function dismiss() {
  $("wrong").replaceChildren();
}

function complain(error, again) {
  const [text, button] = [document.createElement("p"), document.createElement("button")];
  const lost = error.status === 0;
  text.textContent = lost ? `${error.message} Your painting is kept: ${error.remedy}, then retry.` : error.message;
  button.textContent = lost ? "Retry" : "Close";
  button.addEventListener("click", lost ? again : dismiss);
  $("wrong").replaceChildren(text, button);
}

// Runs what may fail; its sentence is shown until the next thing is done, or until it is closed.
export const careful = (what) =>
  async function run(...given) {
    dismiss();
    try {
      await what(...given);
    } catch (error) {
      if (error.name !== "AbortError") complain(error, () => run(...given));
    }
  };

// Which button closed a dialog; "" for none.
export function asked(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}
