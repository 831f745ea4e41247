import { type News, read, type Source, size } from "./feed";

/** Reads a log beside the page, so that the page stays quick while a long one arrives. */
const stop = new AbortController();

const tell = (news: News) => {
  postMessage(news, { transfer: news.kind === "bytes" ? [news.bytes.buffer] : [] });
};

addEventListener("message", (message: MessageEvent<Source>) => {
  const source = message.data;
  void size(source, stop.signal, fetch)
    .then((bytes) => tell({ kind: "size", bytes }))
    .catch(() => undefined); // Then nobody knows how much is to come; whatever is wrong, the reading tells.
  void read(source, tell, stop.signal, {
    fetch: (input, init) => fetch(input, init),
    wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    now: () => performance.now(),
  });
});
