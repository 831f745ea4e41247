import { messages } from "../api/sse";
import type { Segment, Stream } from "./store";

/** What arrives of a log. */
export type News =
  | { kind: "bytes"; bytes: Uint8Array<ArrayBuffer>; segments: Segment[] }
  /** How long the log was when the reading began. */
  | { kind: "size"; bytes: number }
  | { kind: "connection"; up: boolean }
  | { kind: "end" }
  | { kind: "error"; message: string };

export interface Source {
  /** The address of the log. */
  url: string;
  headers: Record<string, string>;
  /** How many bytes are there already. */
  offset: number;
}

interface Surroundings {
  fetch: typeof fetch;
  wait: (ms: number) => Promise<void>;
  now: () => number;
  /** How long small pieces wait for each other, in milliseconds. */
  patience?: number;
}

interface LogEvent {
  offset: number;
  stream: Stream;
  at: string;
  text?: string | null;
  base64?: string | null;
}

/** Pieces are handed on together when they are this large… */
const enough = 512 * 1024;
/** …or the oldest of them is this old, in milliseconds. */
const usualPatience = 40;

class Refused extends Error {}

/**
 * Reads a log from a byte on until it has ended, whatever happens to the connection in between: each byte is told once,
 * in order.
 */
export async function read(
  source: Source,
  tell: (news: News) => void,
  stop: AbortSignal,
  { fetch, wait, now, patience = usualPatience }: Surroundings,
): Promise<void> {
  let offset = source.offset;
  const batch = new Batch(tell, now, patience);
  for (let failures = 0; !stop.aborted; failures++) {
    try {
      const response = await fetch(`${source.url}?follow=true&offset=${offset}`, {
        headers: { ...source.headers, Accept: "text/event-stream" },
        signal: stop,
      });
      if (!response.ok || response.body === null) {
        const sentence = await sentenceOf(response);
        // Too many readers or a server that is about to stop: it may be well in a moment.
        if (response.status < 500 && response.status !== 429) throw new Refused(sentence);
        throw new Error(sentence);
      }
      tell({ kind: "connection", up: true });
      for await (const message of messages(response.body)) {
        failures = 0;
        if (message.event === "end") {
          batch.flush();
          tell({ kind: "end" });
          return;
        }
        if (message.event === "error") throw new Error(message.data);
        if (message.event !== "log") continue;
        const event = JSON.parse(message.data) as LogEvent;
        const bytes = bytesOf(event);
        const known = offset - event.offset;
        if (known < 0) throw new Error("a piece of the log is missing");
        if (known >= bytes.length) continue;
        offset = event.offset + bytes.length;
        batch.add(known > 0 ? bytes.subarray(known) : bytes, event);
      }
    } catch (error) {
      if (stop.aborted) return;
      batch.flush();
      if (error instanceof Refused) return tell({ kind: "error", message: error.message });
    }
    batch.flush();
    if (stop.aborted) return;
    tell({ kind: "connection", up: false });
    await wait(Math.random() * Math.min(15_000, 500 * 2 ** failures));
  }
}

/** How many bytes a log has now. */
export async function size(source: Source, stop: AbortSignal, fetch: typeof globalThis.fetch): Promise<number> {
  const response = await fetch(source.url, { headers: { ...source.headers, Range: "bytes=0-0" }, signal: stop });
  await response.body?.cancel();
  const total = /\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "");
  return total ? Number(total[1]) : 0;
}

async function sentenceOf(response: Response): Promise<string> {
  try {
    const problem = (await response.json()) as { detail?: string; title?: string };
    return problem.detail ?? problem.title ?? `the server answered ${response.status}`;
  } catch {
    return `the server answered ${response.status}`;
  }
}

const encoder = new TextEncoder();

function bytesOf(event: LogEvent): Uint8Array {
  if (event.text != null) return encoder.encode(event.text);
  return Uint8Array.from(atob(event.base64 ?? ""), (each) => each.charCodeAt(0));
}

/** Many small pieces make few large messages. */
class Batch {
  #parts: Uint8Array[] = [];
  #segments: Segment[] = [];
  #size = 0;
  #since = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #tell: (news: News) => void;
  readonly #now: () => number;
  readonly #patience: number;

  constructor(tell: (news: News) => void, now: () => number, patience: number) {
    this.#tell = tell;
    this.#now = now;
    this.#patience = patience;
  }

  add(bytes: Uint8Array, { stream, at }: LogEvent) {
    if (this.#size === 0) {
      this.#since = this.#now();
      this.#timer = setTimeout(() => this.flush(), this.#patience);
    }
    this.#parts.push(bytes);
    this.#size += bytes.length;
    this.#segments.push({ length: bytes.length, stream, at: Date.parse(at) });
    if (this.#size >= enough || this.#now() - this.#since >= this.#patience) this.flush();
  }

  flush() {
    clearTimeout(this.#timer);
    if (this.#size === 0) return;
    const bytes = new Uint8Array(this.#size);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    const segments = this.#segments;
    this.#parts = [];
    this.#segments = [];
    this.#size = 0;
    this.#tell({ kind: "bytes", bytes, segments });
  }
}
