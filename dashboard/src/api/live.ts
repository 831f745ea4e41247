import type { Query, QueryClient, QueryKey } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { type Api, ApiError, headers, problemOf } from "./client";
import { type Message, messages } from "./sse";
import { browserTabs, type News, type Tabs, type Word } from "./tabs";
import { outdatedBy } from "./topics";

export type LiveState = "connecting" | "live" | "offline" | "refused";

type Listener = (event: Api<"EventResource">) => void;

/** A tab that has the stream gives others a sign about this often, in milliseconds: as often as the server gives it one. */
export const beat = 15_000;
/** So many times in a row nothing is heard of it before another tab takes its place. */
const patience = 3;

/** What it needs of the browser. */
export interface Surroundings {
  fetch: typeof fetch;
  wait: (ms: number) => Promise<void>;
  /** Whether nobody can see this tab. */
  hidden: () => boolean;
  tabs: (hear: (word: Word) => void) => Promise<Tabs | undefined>;
}

const browser: Surroundings = {
  fetch: (input, init) => fetch(input, init),
  wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  hidden: () => document.hidden,
  tabs: browserTabs,
};

/**
 * The one stream by which the whole dashboard learns what changes. It goes on behind the last event it saw, so that
 * nothing is missed while the server or the network is away, and tells the cache of queries what is out of date.
 *
 * The tabs of a browser share it, since a browser has few connections to a server: one has it and tells the others. One that
 * hangs tells nothing, and keeps it all the same: a tab that somebody sees takes it away then.
 */
export class Live {
  state: LiveState = "connecting";
  /** Why the server does not let us in, when it does not. */
  refusal: ApiError | undefined;
  /** The last sequence number of which every event was seen. */
  #last: number | undefined;
  #tabs: Tabs | undefined;
  /** Whether this tab has the stream. */
  #leads = false;
  /** How often anything was heard of the tab that has it. */
  #heard = 0;
  #failures = 0;
  #stop = new AbortController();
  #watchers = new Set<() => void>();
  #listeners = new Set<Listener>();
  #stale = new Map<string, QueryKey>();
  #flush: ReturnType<typeof setTimeout> | undefined;
  #refreshing = new Set<string>();
  #again = new Map<string, QueryKey>();
  readonly #queries: QueryClient;
  readonly #around: Surroundings;

  constructor(queries: QueryClient, around: Surroundings = browser) {
    this.#queries = queries;
    this.#around = around;
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
    this.#tabs = await this.#around.tabs((word) => this.#hear(word));
    this.#tabs?.tell({ kind: "hello" });
    let rob = false;
    while (!this.#stop.signal.aborted) {
      if (this.#tabs === undefined) await this.#lead(this.#stop.signal);
      else rob = await this.#turn(this.#tabs, rob);
      if (!this.#stop.signal.aborted && !rob) await this.#pause();
    }
  }

  /** Has the stream when it is this tab's turn. True when the tab that has it is silent: it is to be robbed. */
  async #turn(tabs: Tabs, rob: boolean): Promise<boolean> {
    const over = new AbortController();
    const waiting = new AbortController();
    let silent = false;
    void this.#silence(over.signal).then(() => {
      if (over.signal.aborted) return;
      silent = true;
      waiting.abort();
    });
    await tabs.alone(
      (robbed) => {
        over.abort();
        return this.#lead(AbortSignal.any([this.#stop.signal, robbed]));
      },
      AbortSignal.any([this.#stop.signal, waiting.signal]),
      rob,
    );
    over.abort();
    return silent;
  }

  /** Waits until nothing was heard for a while of the tab that has the stream, or until that does not matter any more. */
  async #silence(over: AbortSignal): Promise<void> {
    for (let silent = 0; silent < patience && !over.aborted; ) {
      const before = this.#heard;
      await this.#around.wait(beat);
      // Of many tabs only one that somebody sees needs it, and the timers of others are late.
      silent = this.#heard === before && !this.#around.hidden() ? silent + 1 : 0;
    }
  }

  stop() {
    this.#stop.abort();
    clearTimeout(this.#flush);
  }

  /** The server does not let us in (any more): nothing is asked for until somebody signs in anew. */
  refuse(error: ApiError) {
    if (this.state === "refused") return;
    this.refusal = error;
    this.stop();
    this.#become("refused");
  }

  /**
   * Has the stream until `stop`, or until it breaks while nobody sees this tab: the timers of such a tab are late, another one
   * is quicker.
   */
  async #lead(stop: AbortSignal) {
    this.#leads = true;
    while (!stop.aborted) {
      await this.#connection(stop);
      if (stop.aborted || this.#around.hidden()) break;
      await this.#pause();
    }
    this.#leads = false;
  }

  /** Full jitter, so that the pages of a whole team do not come back in one moment. */
  #pause(): Promise<void> {
    return this.#around.wait(Math.random() * Math.min(15_000, 500 * 2 ** this.#failures++));
  }

  async #connection(stop: AbortSignal) {
    try {
      const resume: Record<string, string> = this.#last === undefined ? {} : { "Last-Event-ID": String(this.#last) };
      // A server that does not answer at all is none: the tabs are to hear of that, and not to rob one another.
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), beat);
      const response = await this.#around
        .fetch("/api/v1/events/stream", {
          headers: { Accept: "text/event-stream", ...headers(), ...resume },
          signal: AbortSignal.any([stop, late.signal]),
        })
        .finally(() => clearTimeout(timer));
      if (!response.ok || response.body === null) throw new ApiError(response.status, await problemOf(response));
      this.#tell({ kind: "connected" });
      for await (const message of messages(response.body, () => this.#signOfLife(stop))) {
        // What is left to read belongs to the tab that has taken the stream.
        if (stop.aborted) return;
        // The server cannot go on; it ends the stream.
        if (message.event === "error") break;
        this.#failures = 0;
        this.#tell({ kind: "message", message, after: this.#last });
      }
    } catch (error) {
      if (stop.aborted) return;
      if (error instanceof ApiError && isRefusal(error)) return this.refuse(error);
    }
    if (!stop.aborted) this.#tell({ kind: "offline" });
  }

  #signOfLife(stop: AbortSignal) {
    if (!stop.aborted) this.#tabs?.tell({ kind: "here", live: this.state === "live", last: this.#last });
  }

  #tell(news: News) {
    if (this.#stop.signal.aborted) return;
    this.#tabs?.tell(news);
    this.#learn(news);
  }

  #hear(word: Word) {
    if (this.#stop.signal.aborted) return;
    if (word.kind !== "hello") this.#heard++;
    if (word.kind === "hello") {
      // While it connects, all will be told in a moment.
      if (this.#leads && this.state !== "connecting") {
        this.#tabs?.tell({ kind: "here", live: this.state === "live", last: this.#last });
      }
    } else if (word.kind === "here") {
      if (this.#leads) return;
      if (this.state === "connecting") this.#last = word.last;
      // It may have been heard out of turn.
      if (this.state !== (word.live ? "live" : "offline")) this.#learn({ kind: word.live ? "connected" : "offline" });
    } else if (!this.#leads || word.kind === "message") {
      // What a tab says of its connection that does not know yet that it was robbed is of no use to the one that leads now.
      // What was before this message came when this tab did not hear.
      if (word.kind === "message" && (word.after ?? 0) > (this.#last ?? 0)) {
        this.#last = word.after;
        this.#missed();
      }
      this.#learn(word);
    }
  }

  #learn(news: News) {
    if (news.kind === "message") return this.#take(news.message);
    this.#become(news.kind === "connected" ? "live" : "offline");
    // What was missed is told again, but what has no events (ants, budgets, configs) is not.
    if (news.kind === "connected") this.#missed();
  }

  #take({ event: name, data, id }: Message) {
    if (name === "changed") {
      for (const key of outdatedBy(data)) this.#outdated(key);
      return;
    }
    const event = JSON.parse(data) as Api<"EventResource">;
    // A tab that takes over begins where it was itself, which may be behind others.
    if (event.sequence <= (this.#last ?? 0)) return;
    // Only the last event of a sequence number has it as its id.
    if (id === String(event.sequence)) this.#last = event.sequence;
    for (const listener of this.#listeners) listener(event);
    this.#outdated(["job", event.job_id]);
    this.#outdated(["jobs"]);
    this.#outdated(["live"]);
  }

  /** Whatever was asked for so far may be out of date. */
  #missed() {
    void this.#refresh("[]", [], this.#underWay([]));
  }

  /** Many events of one moment cause one request. */
  #outdated(key: QueryKey) {
    this.#stale.set(JSON.stringify(key), key);
    this.#flush ??= setTimeout(() => {
      this.#flush = undefined;
      const stale = [...this.#stale].map(([name, key]) => ({ name, key, underWay: this.#underWay(key) }));
      this.#stale.clear();
      for (const { name, key, underWay } of stale) void this.#refresh(name, key, underWay);
    }, 150);
  }

  #underWay(queryKey: QueryKey): Query[] {
    return this.#queries.getQueryCache().findAll({ queryKey, fetchStatus: "fetching" });
  }

  /**
   * What is under way is never given up for a newer request: something that changes faster than it can be told would not be
   * shown at all. It is asked for once more afterwards, since its answer may be older than the event.
   */
  async #refresh(name: string, queryKey: QueryKey, underWay: Query[]) {
    if (this.#refreshing.has(name)) {
      this.#again.set(name, queryKey);
      return;
    }
    this.#refreshing.add(name);
    try {
      await Promise.all([
        this.#queries.invalidateQueries({ queryKey }, { cancelRefetch: false }),
        ...underWay.map((query) => query.promise?.catch(() => undefined)),
      ]);
    } finally {
      this.#refreshing.delete(name);
    }
    if (this.#stop.signal.aborted) return;
    for (const query of underWay) this.#outdated(query.queryKey);
    const again = this.#again.get(name);
    this.#again.delete(name);
    if (again !== undefined) this.#outdated(again);
  }

  #become(state: LiveState) {
    if (this.state === state) return;
    this.state = state;
    for (const changed of this.#watchers) changed();
  }
}

/** Whether waiting does not help: also who was refused too often is told so only as long as their token is no good. */
const isRefusal = ({ status, problem }: ApiError) =>
  status === 401 || status === 403 || problem?.code === "TOO_MANY_FAILURES";

export function useLiveState(live: Live): LiveState {
  return useSyncExternalStore(live.watch, () => live.state);
}
