import { describe, expect, it } from "vitest";
import { firstByte, firstWhole, mostBefore } from "./begin";
import { type Output, watchOutput } from "./watch";

const log = (offset: number, text: string, stream = "stdout") =>
  `event: log\ndata: ${JSON.stringify({ offset, stream, at: "2026-01-02T03:04:05Z", text })}\n\n`;
const end = "event: end\ndata: {}\n\n";

/** What is drawn of a log of this size, of which the server tells these pieces, one connection after the other. */
async function drawn(size: number, answers: (string | Error)[], room = async () => {}) {
  const asked: string[] = [];
  const states: Output["state"][] = [];
  const said: string[] = [];
  let text = "";
  await watchOutput(
    "/log",
    { write: (bytes) => (text += new TextDecoder().decode(bytes)), room },
    { output: ({ state }) => states.push(state), system: (line) => said.push(line) },
    new AbortController().signal,
    {
      fetch: async (input, init) => {
        if (new Headers(init?.headers).has("Range"))
          return new Response("x", { status: 206, headers: { "Content-Range": `bytes 0-0/${size}` } });
        asked.push(String(input));
        const answer = answers.shift() ?? new Error("asked once more than expected");
        if (answer instanceof Error) throw answer;
        return new Response(answer);
      },
      headers: {},
      wait: async () => {},
      now: () => 0,
    },
  );
  return { asked, states, said, text };
}

describe("the output of a terminal", () => {
  it("is drawn from its start, goes on at its byte, and ends", async () => {
    const { text, states, asked } = await drawn(3, [
      log(0, "a\r\n"),
      new Error("the server was killed"),
      log(3, "b\r\n", "stderr") + end,
    ]);
    expect(text).toBe("a\r\nb\r\n");
    expect(asked).toEqual([0, 3, 3].map((offset) => `/log?follow=true&offset=${offset}`));
    expect(states).toEqual(["live", "reconnecting", "live", "ended"]);
  });

  it("is without what Atta says beside it, which is told", async () => {
    const { text, said } = await drawn(0, [
      log(0, "a") + log(1, "4 bytes were not taken\n", "system") + log(24, "b") + end,
    ]);
    expect(text).toBe("ab");
    expect(said).toEqual(["4 bytes were not taken"]);
  });

  it("begins with its last megabyte, at the first whole line", async () => {
    const size = mostBefore + 100;
    const { text, asked } = await drawn(size, [log(100, "31mrest of a colour\r\nnext\r\n") + end]);
    expect(asked[0]).toBe("/log?follow=true&offset=100");
    expect(text).toBe("next\r\n");
    expect(firstByte(10)).toBe(0);
  });

  it("waits for room before more is read", async () => {
    let asked = 0;
    const { text } = await drawn(0, [log(0, "a") + end], async () => {
      asked++;
    });
    expect(text).toBe("a");
    expect(asked).toBeGreaterThan(0);
  });
});

describe("where a log is begun in its middle", () => {
  const at = (text: string) => firstWhole(new TextEncoder().encode(text));
  it("is behind a line, at an escape, or at once when there is neither", () => {
    expect(at("half\nwhole")).toBe(5);
    expect(at("half\u001b[0m")).toBe(4);
    expect(at("one long word")).toBe(0);
    expect(at(`${"x".repeat(5000)}\n`)).toBe(0);
  });
});
