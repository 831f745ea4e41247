import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { afterEach, expect, test, vi } from "vitest";
import { beat, Live, type Surroundings } from "./live";
import type { Tabs, Word } from "./tabs";

// A tab keeps its token in a storage that is not there outside of a browser.
Object.assign(globalThis, { sessionStorage: { getItem: () => null } });

const encoder = new TextEncoder();
const running: Live[] = [];
/** Tabs that wait for a sign of the one that has the stream: that much time does not pass by itself here. */
const listening: (() => void)[] = [];
afterEach(() => {
  for (const live of running.splice(0)) live.stop();
  listening.length = 0;
});

/** A server: whoever has a stream of it, and behind which event that began. */
class Server {
  readonly streams: { after: string | null; controller: ReadableStreamDefaultController<Uint8Array> }[] = [];
  status = 200;
  #sequence = 0;

  readonly fetch: typeof fetch = async (_, init) => {
    if (this.status !== 200) {
      return Response.json({ code: "TOKEN_EXPIRED", detail: "the token has expired" }, { status: this.status });
    }
    const after = new Headers(init?.headers).get("Last-Event-ID");
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.streams.push({ after, controller });
        init?.signal?.addEventListener("abort", () => {
          const at = this.streams.findIndex((each) => each.controller === controller);
          if (at < 0) return;
          this.streams.splice(at, 1);
          controller.error(new Error("aborted"));
        });
      },
    });
    return new Response(body);
  };

  event(job: string) {
    const sequence = ++this.#sequence;
    const event = { sequence, job_id: job, at: "", kind: "job_changed", data: {} };
    this.send(`event: job_changed\nid: ${sequence}\ndata: ${JSON.stringify(event)}\n\n`);
  }

  send(text: string) {
    for (const { controller } of this.streams) controller.enqueue(encoder.encode(text));
  }

  /** The connections break. */
  away() {
    for (const { controller } of this.streams.splice(0)) controller.close();
  }
}

/** A browser: its lock and its channel. */
class Browser {
  /** Tells whoever has the lock that another one has stolen it. */
  #held: AbortController | undefined;
  #waiting: (() => void)[] = [];
  readonly hearers = new Map<object, (word: Word) => void>();
  /** Tabs that hang: nothing comes of them. */
  readonly hanging = new Set<object>();

  readonly tabs = async (hear: (word: Word) => void): Promise<Tabs> => {
    const me = {};
    this.hearers.set(me, hear);
    return {
      tell: (word) => {
        if (this.hanging.has(me)) return;
        for (const [other, heard] of this.hearers) if (other !== me) heard(structuredClone(word));
      },
      alone: async (work, stop, rob) => {
        if (rob) this.#held?.abort();
        while (!rob && this.#held !== undefined && !stop.aborted) {
          await new Promise<void>((again) => {
            this.#waiting.push(again);
            stop.addEventListener("abort", () => again());
          });
        }
        if (stop.aborted) return;
        const mine = new AbortController();
        this.#held = mine;
        await work(mine.signal);
        if (this.#held !== mine) return;
        this.#held = undefined;
        for (const again of this.#waiting.splice(0)) again();
      },
    };
  };
}

function tab(server: Server, { tabs = async () => undefined, hidden = () => false }: Partial<Surroundings> = {}) {
  const queries = new QueryClient({
    defaultOptions: { queries: { staleTime: Number.POSITIVE_INFINITY, retry: false } },
  });
  const live = new Live(queries, {
    fetch: server.fetch,
    wait: (ms) =>
      new Promise((resolve) => {
        if (ms < beat) setTimeout(resolve, 1);
        else listening.push(resolve);
      }),
    hidden,
    tabs,
  });
  const seen: number[] = [];
  live.listen(({ sequence }) => seen.push(sequence));
  running.push(live);
  void live.run();
  return { live, queries, seen };
}

/** How often a query has been asked for, by a page that shows it. */
function shown(queries: QueryClient, queryKey: string[], answer: () => Promise<unknown> = async () => 1) {
  const query = { asked: 0 };
  const observer = new QueryObserver(queries, {
    queryKey,
    queryFn: () => {
      query.asked++;
      return answer();
    },
  });
  observer.subscribe(() => undefined);
  return query;
}

const until = (isSo: () => void) => vi.waitFor(isSo, { timeout: 10_000 });
const is = (live: Live, state: string) => until(() => expect(live.state).toBe(state));

test("what was asked for before an event and is answered afterwards is asked for once more", async () => {
  const server = new Server();
  const { live, queries } = tab(server);
  await is(live, "live");
  let state = "RUNNING";
  const answers: ((value: string) => void)[] = [];
  const page = shown(queries, ["job", "a", "detail"], () => {
    const now = state;
    return new Promise((resolve) => answers.push(() => resolve(now)));
  });
  await until(() => expect(answers.length).toBe(1));
  state = "COMPLETED";
  server.event("a");
  // The event is known before the answer, which is older.
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(page.asked).toBe(1);
  answers[0]?.("");
  await until(() => expect(answers.length).toBe(2));
  answers[1]?.("");
  await until(() => expect(queries.getQueryData(["job", "a", "detail"])).toBe("COMPLETED"));
  await new Promise((resolve) => setTimeout(resolve, 400));
  expect(page.asked).toBe(2);
});

test("what changes without an event of a job is told by its topic, and a topic that nobody knows is not", async () => {
  const server = new Server();
  const { live, queries } = tab(server);
  await is(live, "live");
  const ants = shown(queries, ["live", "ants"]);
  const budgets = shown(queries, ["live", "budgets"]);
  const definitions = shown(queries, ["definitions", "list"]);
  const audit = shown(queries, ["audit"]);
  const asked = () => [ants.asked, budgets.asked, definitions.asked, audit.asked];
  await until(() => expect(asked()).toEqual([1, 1, 1, 1]));
  server.send('event: changed\ndata: {"topics":["definitions","weather"]}\n\n');
  await until(() => expect(asked()).toEqual([1, 1, 2, 1]));
  server.send('event: changed\ndata: {"topics":["ants","status"]}\n\n');
  await until(() => expect(asked()).toEqual([2, 2, 2, 1]));
  server.send('event: changed\ndata: {"topics":["audit"]}\n\n');
  await until(() => expect(asked()).toEqual([2, 2, 2, 2]));
});

test("the tabs of a browser have one stream, and each learns of every event once", async () => {
  const server = new Server();
  const browser = new Browser();
  const all = Array.from({ length: 7 }, () => tab(server, { tabs: browser.tabs }));
  for (const { live } of all) await is(live, "live");
  expect(server.streams.length).toBe(1);
  server.event("a");
  server.event("b");
  await until(() => expect(all.map(({ seen }) => seen)).toEqual(all.map(() => [1, 2])));
});

/** Two tabs of one browser; the first has the stream. */
async function two() {
  const server = new Server();
  const browser = new Browser();
  const first = tab(server, { tabs: browser.tabs });
  await is(first.live, "live");
  const second = tab(server, { tabs: browser.tabs });
  await is(second.live, "live");
  return { server, browser, first, second };
}

test("the next tab goes on behind what it has seen when the one that has the stream is closed", async () => {
  const { server, first, second } = await two();
  server.event("a");
  await until(() => expect(second.seen).toEqual([1]));
  const jobs = shown(second.queries, ["jobs"]);
  await until(() => expect(jobs.asked).toBe(1));
  first.live.stop();
  await until(() => expect(server.streams.map(({ after }) => after)).toEqual(["1"]));
  // What has no events may have changed in between.
  await until(() => expect(jobs.asked).toBe(2));
  server.event("b");
  await until(() => expect(second.seen).toEqual([1, 2]));
  expect(first.seen).toEqual([1]);
});

test("a tab that has not heard something asks for everything anew", async () => {
  const { server, browser, first, second } = await two();
  const ants = shown(second.queries, ["live", "ants"]);
  const configs = shown(second.queries, ["configs"]);
  await until(() => expect([ants.asked, configs.asked]).toEqual([1, 1]));
  const deaf = [...browser.hearers].at(-1);
  if (deaf === undefined) throw new Error("nobody hears");
  browser.hearers.delete(deaf[0]);
  server.event("a");
  await until(() => expect(first.seen).toEqual([1]));
  browser.hearers.set(...deaf);
  server.event("b");
  await until(() => expect(second.seen).toEqual([2]));
  await until(() => expect(configs.asked).toBe(2));
});

test("a tab that nobody sees leaves the stream to another one when it breaks", async () => {
  const server = new Server();
  const browser = new Browser();
  const hidden = tab(server, { tabs: browser.tabs, hidden: () => true });
  await is(hidden.live, "live");
  const visible = tab(server, { tabs: browser.tabs });
  await is(visible.live, "live");
  server.status = 503;
  server.away();
  await is(visible.live, "offline");
  await is(hidden.live, "offline");
  server.status = 200;
  await is(visible.live, "live");
  await is(hidden.live, "live");
  expect(server.streams.length).toBe(1);
  // The one that can be seen has it now: it goes on when the other is closed.
  hidden.live.stop();
  server.event("a");
  await until(() => expect(visible.seen).toEqual([1]));
});

/** Time passes for the tabs that wait for a sign. */
async function passes() {
  await until(() => expect(listening.length).toBeGreaterThan(0));
  for (const go of listening.splice(0)) go();
}

test("a tab that somebody sees takes the stream from one that hangs, which is in line again when it is back", async () => {
  const { server, browser, first, second } = await two();
  server.event("a");
  await until(() => expect(second.seen).toEqual([1]));
  const [leader] = browser.hearers.keys();
  if (leader === undefined) throw new Error("nobody leads");
  browser.hanging.add(leader);
  // In the first while it has told of the event.
  for (let more = 0; more < 4; more++) await passes();
  // The one that hung has ended its connection.
  await until(() => expect(server.streams.map(({ after }) => after)).toEqual(["1"]));
  browser.hanging.delete(leader);
  server.event("b");
  await until(() =>
    expect([first.seen, second.seen]).toEqual([
      [1, 2],
      [1, 2],
    ]),
  );
  second.live.stop();
  await until(() => expect(server.streams.map(({ after }) => after)).toEqual(["2"]));
  server.event("c");
  await until(() => expect(first.seen).toEqual([1, 2, 3]));
});

test("a tab that has nothing to tell gives signs of life, and keeps the stream", async () => {
  const { server, browser } = await two();
  const [stream] = server.streams;
  const heard: Word[] = [];
  browser.hearers.set({}, (word) => heard.push(word));
  for (let more = 1; more <= 8; more++) {
    server.send(":\n\n");
    await until(() => expect(heard.length).toBe(more));
    await passes();
  }
  expect(heard[0]).toEqual({ kind: "here", live: true, last: undefined });
  expect(server.streams.length).toBe(1);
  expect(server.streams[0]).toBe(stream);
});

test("a tab that nobody sees takes the stream from no other", async () => {
  const server = new Server();
  const browser = new Browser();
  await is(tab(server, { tabs: browser.tabs }).live, "live");
  const [stream] = server.streams;
  await is(tab(server, { tabs: browser.tabs, hidden: () => true }).live, "live");
  for (let more = 0; more < 8; more++) await passes();
  await until(() => expect(listening.length).toBeGreaterThan(0));
  expect(server.streams.length).toBe(1);
  expect(server.streams[0]).toBe(stream);
});

test("a refused token is said to be refused, and nothing is tried any more", async () => {
  const server = new Server();
  server.status = 401;
  const { live } = tab(server);
  await is(live, "refused");
  expect(live.refusal?.message).toBe("the token has expired");
});
