import { token } from "./client";
import type { Message } from "./sse";

/** What the tab that has the stream learns. */
export type News =
  | { kind: "connected" }
  | { kind: "offline" }
  /** A message, and the sequence number that was complete before it. */
  | { kind: "message"; message: Message; after: number | undefined };

/** What tabs say to each other. */
export type Word =
  | News
  /** A tab is new here. */
  | { kind: "hello" }
  /** How it stands, for the one that is new. */
  | { kind: "here"; live: boolean; last: number | undefined };

/** The other tabs of this browser that may see the same. */
export interface Tabs {
  /** Tells all the others. */
  tell: (word: Word) => void;
  /** Does some work when no other tab is at it; never rejects. */
  alone: (work: () => Promise<void>, stop: AbortSignal) => Promise<void>;
}

/**
 * What a browser offers for tabs to share something: a lock, which passes on by itself when the tab that holds it is gone, and
 * a channel. Undefined where there is none: a page that came over plain HTTP from another machine.
 */
export async function browserTabs(hear: (word: Word) => void): Promise<Tabs | undefined> {
  if (!("locks" in navigator) || !("BroadcastChannel" in window)) return undefined;
  const name = await nameOf(token.get());
  const channel = new BroadcastChannel(name);
  channel.addEventListener("message", ({ data }: MessageEvent<Word>) => hear(data));
  return {
    tell: (word) => channel.postMessage(word),
    alone: async (work, stop) => {
      try {
        await navigator.locks.request(name, { signal: stop }, work);
      } catch {
        // A browser that gives this page no locks: it has to do without the others.
        if (!stop.aborted) await work();
      }
    },
  };
}

/** Tabs share what the same person may see: each token has a lock and a channel, whose name does not tell it. */
async function nameOf(value: string | null): Promise<string> {
  if (value === null) return "atta.live";
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(value));
  return `atta.live ${Array.from(new Uint8Array(hash), (each) => each.toString(16).padStart(2, "0")).join("")}`;
}
