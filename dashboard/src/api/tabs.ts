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
  /** How it stands with the tab that has the stream: for one that is new, and now and then as a sign of life. */
  | { kind: "here"; live: boolean; last: number | undefined };

/** The other tabs of this browser that may see the same. */
export interface Tabs {
  /** Tells all the others. */
  tell: (word: Word) => void;
  /**
   * Does some work when no other tab is at it, or, with `rob`, in the place of the one that is. `robbed` is aborted when
   * another tab does that: then the work has to end. Returns when it has, or when `stop` came before it began; never rejects.
   */
  alone: (work: (robbed: AbortSignal) => Promise<void>, stop: AbortSignal, rob: boolean) => Promise<void>;
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
    alone: async (work, stop, rob) => {
      const robbed = new AbortController();
      let begun = undefined as Promise<void> | undefined;
      const begin = () => {
        begun = work(robbed.signal);
        return begun;
      };
      try {
        // A lock that is stolen cannot be waited for, so there is nothing to stop either.
        await navigator.locks.request(name, rob ? { steal: true } : { signal: stop }, begin);
      } catch {
        if (begun !== undefined) {
          // Another tab has stolen the lock; the work goes on until it is told.
          robbed.abort();
          await begun;
        } else if (!stop.aborted) {
          // A browser that gives this page no locks: it has to do without the others.
          await begin();
        }
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
