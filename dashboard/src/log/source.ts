import { headers } from "../api/client";
import type { News, Source } from "./feed";
import { LogStore } from "./store";

export type Progress = "loading" | "live" | "reconnecting" | "ended" | "failed";

/** A log that is being read, shared by everything that shows it. */
export class LogSource {
  readonly store = new LogStore();
  /** Counts up whenever there is something new. */
  version = 0;
  progress: Progress = "loading";
  problem: string | undefined;
  /** Bytes that there were when the reading began. */
  expected = 0;
  readonly url: string;
  #watchers = new Set<() => void>();
  #worker: Worker | undefined;
  #frame: number | undefined;

  constructor(url: string) {
    this.url = url;
  }

  watch = (changed: () => void) => {
    this.#watchers.add(changed);
    if (this.#watchers.size === 1) {
      document.addEventListener("visibilitychange", this.#look);
      this.#start();
    }
    return () => {
      this.#watchers.delete(changed);
      if (this.#watchers.size > 0) return;
      document.removeEventListener("visibilitychange", this.#look);
      this.#stop();
    };
  };

  /** A browser has few connections to a server for all of its tabs: a log that nobody sees needs none. */
  #look = () => (document.hidden ? this.#stop() : this.#start());

  again() {
    this.#stop();
    this.#start();
  }

  #start() {
    if (this.store.complete || this.#worker !== undefined || document.hidden) return;
    this.problem = undefined;
    this.progress = "loading";
    const worker = new Worker(new URL("./feed.worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", (message: MessageEvent<News>) => this.#take(message.data));
    // What was read before the last viewer left, or looked elsewhere, is not read again.
    const source: Source = { url: this.url, headers: headers(), offset: this.store.bytes };
    worker.postMessage(source);
    this.#worker = worker;
  }

  #stop() {
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #take(news: News) {
    if (news.kind === "bytes") {
      this.store.append(news.bytes, news.segments);
      if (this.progress !== "live" && this.store.bytes >= this.expected) this.progress = "live";
    } else if (news.kind === "size") {
      this.expected = news.bytes;
      if (this.store.bytes < news.bytes) this.progress = this.progress === "live" ? "loading" : this.progress;
      else if (this.progress === "loading") this.progress = "live";
    } else if (news.kind === "connection") {
      if (!news.up) this.progress = "reconnecting";
      else if (this.progress === "reconnecting") this.progress = "live";
    } else if (news.kind === "end") {
      this.store.finish();
      this.progress = "ended";
      this.#stop();
    } else {
      this.problem = news.message;
      this.progress = "failed";
      this.#stop();
    }
    this.#tell();
  }

  /** At most once a frame. */
  #tell() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      this.version++;
      for (const watcher of this.#watchers) watcher();
    });
  }
}

/** Logs that were looked at last: going back to one does not read it anew. */
const recent: LogSource[] = [];
const kept = 3;

export function sourceOf(jobId: string, attempt: number): LogSource {
  const url = `/api/v1/jobs/${encodeURIComponent(jobId)}/attempts/${attempt}/log`;
  const at = recent.findIndex((each) => each.url === url);
  const found = at < 0 ? new LogSource(url) : recent.splice(at, 1)[0];
  const source = found ?? new LogSource(url);
  recent.unshift(source);
  recent.length = Math.min(recent.length, kept);
  return source;
}
