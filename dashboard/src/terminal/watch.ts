import { read, size } from "../log/feed";
import { firstByte, firstWhole } from "./begin";

/** What is known of the output that is drawn. */
export type Output =
  | { state: "loading" }
  | { state: "live" }
  | { state: "reconnecting" }
  | { state: "ended" }
  | { state: "failed"; message: string };

interface Drawing {
  write: (bytes: Uint8Array) => void;
  /** Resolves when there is room to draw more. */
  room: () => Promise<void>;
}

interface Surroundings {
  fetch: typeof fetch;
  headers: Record<string, string>;
  wait: (ms: number) => Promise<void>;
  now: () => number;
}

/**
 * Draws what a program with a terminal prints, from its last megabyte on, until it has ended: the attempt's log, which is
 * all there is, so that a connection that comes back goes on at its byte. What Atta itself says in the log is told, not drawn.
 */
export async function watchOutput(
  url: string,
  drawing: Drawing,
  told: { output: (output: Output) => void; system: (text: string) => void },
  stop: AbortSignal,
  { fetch, headers, wait, now }: Surroundings,
): Promise<void> {
  let state: Output["state"] = "loading";
  const become = (output: Output) => {
    if (state === output.state) return;
    state = output.state;
    told.output(output);
  };
  const total = await sizeOf(url, stop, { fetch, headers, wait, now }, () => become({ state: "reconnecting" }));
  if (stop.aborted) return;
  const offset = firstByte(total);
  let drawn = offset;
  let whole = offset === 0;
  if (drawn >= total) become({ state: "live" });
  // A program that prints faster than we draw has to wait for us in the network, not in our memory.
  const patient: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (!response.ok || response.body === null) return response;
    const body = response.body.pipeThrough(
      new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform: async (piece, out) => {
          await drawing.room();
          out.enqueue(piece);
        },
      }),
    );
    return new Response(body, { status: response.status, headers: response.headers });
  };
  await read(
    { url, headers, offset },
    (news) => {
      if (stop.aborted) return;
      if (news.kind === "bytes") {
        let at = 0;
        for (const { length, stream } of news.segments) {
          const piece = news.bytes.subarray(at, at + length);
          at += length;
          if (stream === "system") told.system(new TextDecoder().decode(piece).trim());
          else {
            drawing.write(whole ? piece : piece.subarray(firstWhole(piece)));
            whole = true;
          }
        }
        drawn += news.bytes.length;
        if (drawn >= total) become({ state: "live" });
      } else if (news.kind === "connection") {
        if (!news.up) become({ state: "reconnecting" });
        else if (state === "reconnecting") become({ state: drawn >= total ? "live" : "loading" });
      } else if (news.kind === "end") become({ state: "ended" });
      else if (news.kind === "error") become({ state: "failed", message: news.message });
    },
    stop,
    { fetch: patient, wait, now, patience: 0 },
  );
}

/** How long the output is; asks until somebody knows. */
async function sizeOf(
  url: string,
  stop: AbortSignal,
  { fetch, headers, wait }: Surroundings,
  away: () => void,
): Promise<number> {
  while (!stop.aborted) {
    try {
      return await size({ url, headers, offset: 0 }, stop, fetch);
    } catch {
      if (stop.aborted) break;
      away();
      await wait(1000);
    }
  }
  return 0;
}
