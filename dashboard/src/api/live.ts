import type { QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { type Api, ApiError, headers } from "./client";
import { messages } from "./sse";

export type LiveState = "connecting" | "live" | "offline" | "refused";

type Listener = (event: Api<"EventResource">) => void;

/**
 * The one connection by which the whole dashboard learns what changes. It goes on behind the last event it saw, so that
 * nothing is missed while the server or the network is away, and tells the cache of queries what is out of date.
 */
export class Live {
  state: LiveState = "connecting";
  #last: string | undefined;
  #stop = new AbortController();
  #watchers = new Set<() => void>();
  #listeners = new Set<Listener>();
  #stale = new Map<string, readonly unknown[]>();
  #flush: ReturnType<typeof setTimeout> | undefined;
  #refreshing = new Set<string>();
  #again = new Map<string, readonly unknown[]>();
  readonly #queries: QueryClient;

  constructor(queries: QueryClient) {
    this.#queries = queries;
  }

  /** Calls back when `state` changes. Returns what ends that. */
  watch = (changed: () => void) => {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  };

  /** Calls back with every event of every job, once and in order. Returns what ends that. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async run(): Promise<void> {
    for (let failures = 0; !this.#stop.signal.aborted; failures++) {
      try {
        for await (const message of this.#connect()) {
          failures = 0;
          this.#take(message.data, message.id);
        }
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (error instanceof ApiError && (error.status === 401 || error.status === 403)) return this.#become("refused");
      }
      this.#become("offline");
      // Full jitter, so that the pages of a whole team do not come back in one moment.
      const delay = Math.random() * Math.min(15_000, 500 * 2 ** failures);
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }

  stop() {
    this.#stop.abort();
    clearTimeout(this.#flush);
  }

  async *#connect() {
    const resume: Record<string, string> = this.#last === undefined ? {} : { "Last-Event-ID": this.#last };
    const response = await fetch("/api/v1/events/stream", {
      headers: { Accept: "text/event-stream", ...headers(), ...resume },
      signal: this.#stop.signal,
    });
    if (!response.ok || response.body === null) throw new ApiError(response.status, undefined);
    const back = this.state === "offline";
    this.#become("live");
    // What was missed is told again, but what has no events (ants, budgets, configs) is not.
    if (back) void this.#queries.invalidateQueries();
    yield* messages(response.body);
  }

  #take(text: string, id: string | undefined) {
    if (id !== undefined) this.#last = id;
    const event = JSON.parse(text) as Api<"EventResource">;
    for (const listener of this.#listeners) listener(event);
    this.#outdated(["job", event.job_id]);
    this.#outdated(["jobs"]);
    this.#outdated(["live"]);
  }

  /** Many events of one moment cause one request. */
  #outdated(key: readonly unknown[]) {
    this.#stale.set(JSON.stringify(key), key);
    this.#flush ??= setTimeout(() => {
      this.#flush = undefined;
      const keys = [...this.#stale];
      this.#stale.clear();
      for (const [name, queryKey] of keys) void this.#refresh(name, queryKey);
    }, 150);
  }

  /**
   * What is under way is never given up for a newer request: something that changes faster than it can be told would not be
   * shown at all. It is asked for once more afterwards.
   */
  async #refresh(name: string, queryKey: readonly unknown[]) {
    if (this.#refreshing.has(name)) {
      this.#again.set(name, queryKey);
      return;
    }
    this.#refreshing.add(name);
    try {
      await this.#queries.invalidateQueries({ queryKey }, { cancelRefetch: false });
    } finally {
      this.#refreshing.delete(name);
    }
    const again = this.#again.get(name);
    this.#again.delete(name);
    if (again !== undefined && !this.#stop.signal.aborted) this.#outdated(again);
  }

  #become(state: LiveState) {
    if (this.state === state) return;
    this.state = state;
    for (const changed of this.#watchers) changed();
  }
}

export function useLiveState(live: Live): LiveState {
  return useSyncExternalStore(live.watch, () => live.state);
}
