import { type Api, problemOf } from "../api/client";
import { Shared } from "../ui/shared";

/** How many columns and rows a terminal has. */
export interface Size {
  columns: number;
  rows: number;
}

/** What a program has until somebody says how large its terminal is. */
export const unsaid: Size = { columns: 120, rows: 30 };

/** Whether this page types into a terminal, and what keeps it from that. */
export type Typing =
  | { state: "reading" }
  | { state: "opening" }
  | { state: "typing" }
  /** What is typed is kept and sent as soon as the server answers. */
  | { state: "reconnecting" }
  /** Somebody else types: `message` says who, and since when. */
  | { state: "in_use"; message: string }
  | { state: "ended"; message: string };

interface Surroundings {
  fetch: typeof fetch;
  headers: () => Record<string, string>;
  wait: (ms: number) => Promise<void>;
  now: () => number;
  random: () => number;
}

interface Session {
  id: string;
  seq: number;
}

type Problem = Api<"Problem"> | undefined;

/** Requests follow each other in this many milliseconds at least: what is typed meanwhile goes together. */
const pace = 30;
/** The server takes no more in one request… */
const mostAtOnce = 16 * 1024;
/** …and we keep no more than this for it. */
export const mostKept = 256 * 1024;
/** A sign of life, in milliseconds. */
const alive = 20_000;
/** A request that has no answer by then is sent again. */
const patience = 15_000;
/** Said as long as it is so. */
const unread = "The program does not read what is typed; it is kept until it does.";

/**
 * Types into the terminal of an attempt. What is typed is numbered, and sent again under its number until the server
 * has answered, so that a bad network neither loses nor repeats it. When the server has forgotten us, a new session is
 * opened; then nobody knows whether what was on its way has arrived, and that is said instead of guessed.
 */
export class Typist {
  typing: Typing = { state: "reading" };
  /** Counts up whenever something of this changes. */
  readonly version = new Shared(0);
  /** Something that the person has to know about what was typed. */
  notice: string | undefined;
  readonly #url: string;
  readonly #around: Surroundings;
  /** Counts up when typing begins or ends; whatever belongs to an older one stops. */
  #turn = 0;
  #stop = new AbortController();
  #session: Session | undefined;
  #size = unsaid;
  #sizing = false;
  #queue: Uint8Array<ArrayBuffer>[] = [];
  #kept = 0;
  #pumping = false;
  #sent = Number.NEGATIVE_INFINITY;
  #life: ReturnType<typeof setInterval> | undefined;

  /** `url` is that of the attempt's terminal. */
  constructor(url: string, around: Surroundings) {
    this.#url = url;
    this.#around = around;
  }

  /** Whether what is typed now reaches the program, sooner or later. */
  get takes(): boolean {
    return this.typing.state === "typing" || this.typing.state === "reconnecting";
  }

  /** Begins to type. `takeOver` ends the session of whoever types now. */
  async begin(size: Size, takeOver: boolean): Promise<void> {
    this.end();
    this.#size = size;
    this.notice = undefined;
    this.#stop = new AbortController();
    this.#become({ state: "opening" });
    await this.#open(this.#turn, takeOver);
  }

  /** Ends typing. The request outlives the page, so that the next person need not wait. */
  end(): void {
    const session = this.#session;
    this.#leave({ state: "reading" });
    if (session === undefined) return;
    void this.#around
      .fetch(`${this.#url}/${session.id}`, { method: "DELETE", headers: this.#around.headers(), keepalive: true })
      .catch(() => undefined); // Then the session ends by itself after a minute.
  }

  /** The program has ended, and whatever session there was with it. */
  over(): void {
    this.#leave({ state: "reading" });
  }

  type(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.takes || bytes.length === 0) return;
    if (this.#kept + bytes.length > mostKept) {
      this.#say(`${bytes.length.toLocaleString("en")} bytes were not typed: too much is waiting to be sent.`);
      return;
    }
    this.#queue.push(bytes);
    this.#kept += bytes.length;
    void this.#pump();
  }

  resize(size: Size): void {
    if (size.columns === this.#size.columns && size.rows === this.#size.rows) return;
    this.#size = size;
    void this.#tellSize();
  }

  /** `because`: why the session before was not ours any more, when nothing else was said of that. */
  async #open(turn: number, takeOver: boolean, because?: string): Promise<void> {
    for (let failures = 0; ; failures++) {
      let response: Response;
      try {
        response = await this.#ask("POST", this.#url, JSON.stringify({ take_over: takeOver, ...this.#size }));
      } catch {
        if (turn !== this.#turn) return;
        this.#become({ state: "reconnecting" });
        await this.#backoff(failures);
        if (turn !== this.#turn) return;
        continue;
      }
      if (response.ok) {
        const { session, next_seq: seq } = (await response.json()) as { session: string; next_seq: number };
        // Whoever left while the server opened it leaves nothing behind.
        if (turn !== this.#turn) {
          void this.#ask("DELETE", `${this.#url}/${session}`).catch(() => undefined);
          return;
        }
        this.#session = { id: session, seq };
        // A server that was killed may have taken what it did not pass on.
        if (because !== undefined)
          this.#say(`${because}. You type in a new one now: see whether the last of what you typed is there.`);
        this.#become({ state: "typing" });
        this.#life ??= setInterval(() => void this.#tellSize(), alive);
        void this.#pump();
        return;
      }
      const problem = await problemOf(response);
      if (turn !== this.#turn) return;
      if (response.status >= 500) {
        this.#become({ state: "reconnecting" });
        await this.#backoff(failures);
        if (turn !== this.#turn) return;
        continue;
      }
      const message = sentence(problem, response);
      this.#leave(isCode(problem, "terminal_in_use") ? { state: "in_use", message } : { state: "ended", message });
      return;
    }
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (;;) {
        const turn = this.#turn;
        const session = this.#session;
        if (session === undefined || this.#queue.length === 0) return;
        await this.#around.wait(Math.max(0, this.#sent + pace - this.#around.now()));
        if (turn !== this.#turn || session !== this.#session) continue;
        const bytes = this.#take();
        this.#sent = this.#around.now();
        await this.#send(turn, session, bytes);
      }
    } finally {
      this.#pumping = false;
    }
  }

  /** Sends until the server has it, or is known not to want it. */
  async #send(turn: number, session: Session, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const url = `${this.#url}/${session.id}/input?seq=${session.seq}`;
    // Whether the server may have it although we do not know that.
    let doubtful = false;
    for (let failures = 0; ; failures++) {
      let response: Response | undefined;
      try {
        response = await this.#ask("POST", url, bytes);
      } catch {
        response = undefined;
      }
      if (turn !== this.#turn) return;
      if (response?.ok) {
        session.seq++;
        if (this.notice === unread) this.#say(undefined);
        this.#become({ state: "typing" });
        return;
      }
      if (response === undefined || response.status >= 500) {
        doubtful = true;
        this.#become({ state: "reconnecting" });
      } else {
        const problem = await problemOf(response);
        if (turn !== this.#turn) return;
        if (!isCode(problem, "terminal_busy")) {
          if (!doubtful) this.#putBack(bytes);
          return this.#refused(turn, problem, response, doubtful ? bytes.length : 0);
        }
        this.#say(unread);
      }
      await this.#backoff(failures);
      if (turn !== this.#turn) return;
    }
  }

  /** Tells how large the terminal is: now and then as a sign of life, and the latest when it changes. */
  async #tellSize(): Promise<void> {
    if (this.#sizing || this.#session === undefined) return;
    this.#sizing = true;
    try {
      for (;;) {
        const turn = this.#turn;
        const session: Session | undefined = this.#session;
        const size = this.#size;
        if (session === undefined) return;
        let response: Response;
        try {
          response = await this.#ask("PUT", `${this.#url}/${session.id}/size`, JSON.stringify(size));
        } catch {
          if (turn === this.#turn) this.#become({ state: "reconnecting" });
          await this.#backoff(2);
          continue;
        }
        if (turn !== this.#turn || session !== this.#session) continue;
        if (response.status >= 500) {
          this.#become({ state: "reconnecting" });
          await this.#backoff(2);
          continue;
        }
        if (!response.ok) {
          // What is on its way knows better what became of it.
          if (!this.#pumping) await this.#refused(turn, await problemOf(response), response, 0);
          return;
        }
        if (!this.#pumping) this.#become({ state: "typing" });
        if (size === this.#size) return;
      }
    } finally {
      this.#sizing = false;
    }
  }

  /** The session is no more, or the server refuses what we do with it. `lost`: so many bytes may not have arrived. */
  async #refused(turn: number, problem: Problem, response: Response, lost: number): Promise<void> {
    const message = sentence(problem, response);
    const waiting = lost === 0 ? 0 : this.#kept;
    if (lost > 0) {
      // Half of a command may mean something else than the whole.
      this.#forget();
      const bytes = (lost + waiting).toLocaleString("en");
      this.#say(`The last ${bytes} bytes that you typed may not have arrived. Look at the screen before you go on.`);
    }
    // Who has taken over, or that the attempt has ended, is what the server answers then.
    if (!isCode(problem, "terminal_closed")) return this.#leave({ state: "ended", message });
    this.#session = undefined;
    this.#become({ state: "reconnecting" });
    await this.#open(turn, false, lost > 0 ? undefined : message);
  }

  #take(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(Math.min(mostAtOnce, this.#kept));
    let at = 0;
    while (at < bytes.length) {
      const first = this.#queue[0];
      if (first === undefined) break;
      const part = first.subarray(0, bytes.length - at);
      bytes.set(part, at);
      at += part.length;
      if (part.length === first.length) this.#queue.shift();
      else this.#queue[0] = first.subarray(part.length);
    }
    this.#kept -= bytes.length;
    return bytes;
  }

  #putBack(bytes: Uint8Array<ArrayBuffer>) {
    this.#queue.unshift(bytes);
    this.#kept += bytes.length;
  }

  #forget() {
    this.#queue = [];
    this.#kept = 0;
  }

  #ask(method: string, url: string, body?: string | Uint8Array<ArrayBuffer>): Promise<Response> {
    const type = typeof body === "string" ? "application/json" : "application/octet-stream";
    return this.#around.fetch(url, {
      method,
      headers: { ...this.#around.headers(), ...(body === undefined ? {} : { "Content-Type": type }) },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(patience)]),
    });
  }

  /** Full jitter: many pages come back when a server does. */
  #backoff(failures: number): Promise<void> {
    return this.#around.wait(this.#around.random() * Math.min(5000, 250 * 2 ** failures));
  }

  #leave(typing: Typing) {
    this.#turn++;
    this.#stop.abort();
    this.#session = undefined;
    clearInterval(this.#life);
    this.#life = undefined;
    this.#forget();
    if (this.notice === unread) this.#say(undefined);
    this.#become(typing);
  }

  #say(notice: string | undefined) {
    this.notice = notice;
    this.#tell();
  }

  #become(typing: Typing) {
    if (this.typing.state === typing.state && typing.state !== "in_use" && typing.state !== "ended") return;
    this.typing = typing;
    this.#tell();
  }

  #tell() {
    this.version.set(this.version.get() + 1);
  }
}

const isCode = (problem: Problem, code: string) => problem?.code?.toLowerCase() === code;

const sentence = (problem: Problem, response: Response) =>
  problem?.detail ?? problem?.title ?? `The server answered ${response.status}.`;
