import { expect, test } from "vitest";
import { messages } from "./sse";

function body(...pieces: string[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(encoder.encode(piece));
      controller.close();
    },
  });
}

async function all(...pieces: string[]) {
  const read = [];
  for await (const message of messages(body(...pieces))) read.push(message);
  return read;
}

test("messages are put together from pieces of any size", async () => {
  expect(await all("event: jo", 'b\ndata: {"a"', ":1}\nid: 7\n", "\ndata: x\ndata: y\n\n")).toEqual([
    { event: "job", data: '{"a":1}', id: "7" },
    { event: "message", data: "x\ny", id: "7" },
  ]);
});

test("comments keep a connection alive and are not messages; what has no end is not told", async () => {
  expect(await all(": hello\n\n", "data: cut off")).toEqual([]);
});

test("each comment is told as a sign of life, one that is not whole yet is not", async () => {
  let signs = 0;
  const alive = () => {
    signs++;
  };
  const before = [];
  for await (const _ of messages(body(": one\n\n", ":", "\n\ndata: x\n\n: thr"), alive)) before.push(signs);
  expect([before, signs]).toEqual([[2], 2]);
});

test("lines may end with CR LF, also when a piece ends between the two", async () => {
  expect(await all("data: a\r", "\ndata: b\r\n\r\n")).toEqual([{ event: "message", data: "a\nb", id: undefined }]);
});
