// What fills on a page without a server; serve/page/engine.js says what an engine is.

export * from "./browser.js";
