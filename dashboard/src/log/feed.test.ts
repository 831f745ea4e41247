import { describe, expect, it } from "vitest";
import { type News, read } from "./feed";

const log = (offset: number, text: string, stream = "stdout") =>
  `event: log\nid: ${offset + text.length}\ndata: ${JSON.stringify({ offset, stream, at: "2026-01-02T03:04:05Z", text })}\n\n`;
const end = "event: end\ndata: {}\n\n";

/** Reads from a server that gives these answers one after the other. */
async function told(offset: number, ...answers: (string | Response | Error)[]) {
  const asked: string[] = [];
  const news: News[] = [];
  const stop = new AbortController();
  await read({ url: "/log", headers: {}, offset }, (each) => news.push(each), stop.signal, {
    fetch: async (input) => {
      asked.push(String(input));
      const answer = answers.shift();
      if (answer === undefined) throw new Error("asked once more than expected");
      if (answer instanceof Error) throw answer;
      return answer instanceof Response ? answer : new Response(answer);
    },
    wait: async () => {},
    now: () => 0,
  });
  const text = news.map((each) => (each.kind === "bytes" ? new TextDecoder().decode(each.bytes) : "")).join("");
  return { asked, news, text };
}

describe("a log that is read", () => {
  it("is told to its end", async () => {
    const { text, news } = await told(0, log(0, "one\n") + log(4, "two\n", "stderr") + end);
    expect(text).toBe("one\ntwo\n");
    expect(news.at(-1)).toEqual({ kind: "end" });
    expect(news).toContainEqual(
      expect.objectContaining({
        kind: "bytes",
        segments: [
          { length: 4, stream: "stdout", at: Date.parse("2026-01-02T03:04:05Z") },
          { length: 4, stream: "stderr", at: Date.parse("2026-01-02T03:04:05Z") },
        ],
      }),
    );
  });

  it("goes on at its byte when the connection breaks, without gap or repetition", async () => {
    const { text, asked, news } = await told(
      0,
      log(0, "one\n"),
      new Error("the network is down"),
      new Response("", { status: 503 }),
      log(0, "one\ntwo\n") + log(8, "three\n") + end,
    );
    expect(text).toBe("one\ntwo\nthree\n");
    expect(asked).toEqual(["/log?follow=true&offset=0", ...Array(3).fill("/log?follow=true&offset=4")]);
    expect(news.filter((each) => each.kind === "connection").map((each) => each.up)).toEqual([
      true,
      false,
      false,
      false,
      true,
    ]);
  });

  it("asks again when a piece is missing", async () => {
    const { text } = await told(0, log(0, "a\n") + log(5, "c\n"), log(2, "b\nc\n") + end);
    expect(text).toBe("a\nb\nc\n");
  });

  it("has bytes that are no text", async () => {
    const data = JSON.stringify({ offset: 2, stream: "stdout", at: "2026-01-02T03:04:05Z", base64: "//4K" });
    const { news } = await told(2, `event: log\ndata: ${data}\n\n${end}`);
    expect(news).toContainEqual(expect.objectContaining({ bytes: new Uint8Array([0xff, 0xfe, 0x0a]) }));
  });

  it("that there is not says so in the server's words, once", async () => {
    const { news, asked } = await told(
      0,
      new Response(JSON.stringify({ detail: "there is no attempt 9" }), { status: 404 }),
    );
    expect(news).toEqual([{ kind: "error", message: "there is no attempt 9" }]);
    expect(asked).toHaveLength(1);
  });
});
