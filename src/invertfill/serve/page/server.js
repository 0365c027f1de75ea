// Asking the server. Whatever goes wrong ends as an Error with a sentence for a person.

const KEY = "invertfill-token";

// A token may come behind the # of the address, which browsers send to nobody.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname);
}

export async function ask(path, fields, signal) {
  const options = { signal, headers: {} };
  const token = sessionStorage.getItem(KEY);
  if (token) options.headers.Authorization = `Bearer ${token}`;
  if (fields) {
    options.method = "POST";
    options.body = new FormData();
    for (const [name, value] of Object.entries(fields)) options.body.append(name, await value);
  }
  let answer;
  try {
    answer = await fetch(`/v1/${path}`, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server can't be reached.");
  }
  if (answer.status === 401) {
    await askForToken();
    return ask(path, fields, signal);
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.error || `The server answers ${answer.status}.`);
  }
  return answer;
}

function askForToken() {
  const dialog = document.getElementById("locked");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        sessionStorage.setItem(KEY, document.getElementById("token").value.trim());
        resolve();
      },
      { once: true },
    );
  });
}
