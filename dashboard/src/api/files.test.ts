import { afterEach, expect, test, vi } from "vitest";
import { ApiError } from "./client";
import { fetchBeginning } from "./files";

afterEach(() => vi.unstubAllGlobals());

function answers(...pieces: string[]) {
  const body = { cancelled: false };
  const encoder = new TextEncoder();
  const left = pieces.map((piece) => encoder.encode(piece));
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("fetch", async () => {
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        const piece = left.shift();
        if (piece) controller.enqueue(piece);
        else controller.close();
      },
      cancel: () => {
        body.cancelled = true;
      },
    });
    return new Response(stream);
  });
  return body;
}

test("of a long text only the beginning is fetched, up to its last whole line", async () => {
  const body = answers("one\ntwo\nth", "ree\nfour\n", "five\n", "six\n");
  expect(await fetchBeginning("/file", 16)).toBe("one\ntwo\nthree\n");
  expect(body.cancelled).toBe(true);
});

test("a text that is not longer comes as it is", async () => {
  answers("one\ntwo");
  expect(await fetchBeginning("/file", 7)).toBe("one\ntwo");
});

test("a problem of the server is an error with its sentence", async () => {
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("fetch", async () => Response.json({ detail: "it expired" }, { status: 410 }));
  await expect(fetchBeginning("/file", 7)).rejects.toThrow(
    new ApiError(410, { detail: "it expired" } as never).message,
  );
});
