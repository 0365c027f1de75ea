// What fills. The page knows one engine, this one; `invertfill site` writes browser.js in its place. An engine has
//
//   offers()           the models, the default first, and the limits of one request
//   cost(model)        what has to come to this machine before its first fill, in a sentence; "" for nothing
//   warm(model)        a photo is open: a fill is likely
//   make(path, fields, { signal, before, made })
//                      "fill" or "outpaint" -> { files, model, why, notes }. before(share, what) is told of what comes
//                      first, such as 0.4 and "Sending"; made(count), how many pictures there are by now
//   preview(file)      what the browser can't show itself, as a Blob that it can
//
// Whatever goes wrong ends as an Error with a sentence for a person.

export * from "./server.js";
