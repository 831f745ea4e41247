import { Numbers } from "./grow";
import { type Answer, compile, type Query, type Request } from "./search";
import type { LogStore } from "./store";

/** Lines that are looked through at once end with the line that passes this many bytes. */
const portion = 256 * 1024;
/** An expression that needs longer for one portion is given up. */
const patience = 5000;

/** A search through a log that may still grow. Tells `changed` when there is more to know. */
export class Searching {
  /** The lines that match, ascending. */
  readonly lines = new Numbers();
  /** How often they match. */
  count = 0;
  /** Why there can be no result. */
  problem: string | undefined;
  /** Whether every line that there is was looked at. */
  done = false;
  readonly #store: LogStore;
  readonly #changed: () => void;
  #worker: Worker | undefined;
  #next = 0;
  #waiting = false;
  #id = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #marks = new Map<number, number[]>();
  #asked = new Set<number>();

  constructor(store: LogStore, query: Query, changed: () => void) {
    this.#store = store;
    this.#changed = changed;
    const compiled = compile(query);
    if (typeof compiled === "string") {
      this.problem = compiled;
      this.done = true;
      return;
    }
    this.#worker = new Worker(new URL("./search.worker.ts", import.meta.url), { type: "module" });
    this.#worker.addEventListener("message", (message: MessageEvent<Answer>) => this.#take(message.data));
    this.#ask({ kind: "query", query });
    this.more();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  /** Goes on with lines that have come since. */
  more() {
    if (this.#waiting || this.#worker === undefined) return;
    const first = this.#next;
    const settled = this.#store.settled;
    if (first >= settled) {
      this.done = true;
      return;
    }
    this.done = false;
    let until = first;
    for (let size = 0; until < settled && size < portion; until++) size += this.#store.size(until) + 1;
    // A copy: the store keeps its own bytes.
    const bytes = new Uint8Array(this.#store.slice(first, until));
    this.#next = until;
    this.#waiting = true;
    this.#watch();
    this.#ask({ kind: "scan", id: ++this.#id, bytes, first }, [bytes.buffer]);
  }

  /** Where a line matches, as far as that is known already; asks for it otherwise. */
  marks(line: number): number[] | undefined {
    return this.#marks.get(line);
  }

  /** Finds out where these lines match. */
  look(lines: { line: number; text: string }[]) {
    const unknown = lines.filter(({ line }) => !this.#marks.has(line) && !this.#asked.has(line) && this.has(line));
    if (unknown.length === 0 || this.#worker === undefined) return;
    for (const { line } of unknown) this.#asked.add(line);
    if (!this.#waiting) this.#watch();
    this.#ask({ kind: "mark", id: ++this.#id, lines: unknown });
  }

  has(line: number): boolean {
    const at = this.lines.lastUpTo(line);
    return at >= 0 && this.lines.get(at) === line;
  }

  #ask(request: Request, transfer: Transferable[] = []) {
    this.#worker?.postMessage(request, { transfer });
  }

  #watch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.stop();
      this.done = true;
      this.problem = "This expression takes too long.";
      this.#changed();
    }, patience);
  }

  #take(answer: Answer) {
    clearTimeout(this.#timer);
    if (answer.kind === "marked") {
      if (this.#waiting) this.#watch();
      if (this.#marks.size > 5000) {
        this.#marks.clear();
        this.#asked.clear();
      }
      for (const { line, ranges } of answer.marks) this.#marks.set(line, ranges);
    } else {
      for (const line of answer.lines) this.lines.push(line);
      this.count += answer.count;
      this.#waiting = false;
      this.more();
    }
    this.#changed();
  }
}
