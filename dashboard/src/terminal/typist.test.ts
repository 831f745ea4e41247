import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { mostKept, Typist } from "./typist";

const size = { columns: 80, rows: 24 };
const problem = (status: number, code: string, detail = code) =>
  new Response(JSON.stringify({ status, code, detail }), { status });
const opened = (session = "s1") =>
  new Response(JSON.stringify({ session, attempt_id: "a", expires_after_ms: 60_000, next_seq: 1 }), { status: 201 });
const done = () => new Response(null, { status: 204 });

type Answer = Response | Error | (() => Response | Error);

/** A server that answers as told, and by 204 afterwards; and what it was asked. */
function server(...answers: Answer[]) {
  const asked: string[] = [];
  let hold: Promise<void> | undefined;
  const fetch = async (input: RequestInfo | URL, init?: RequestInit) => {
    const { body } = init ?? {};
    const text = body instanceof Uint8Array ? new TextDecoder().decode(body) : (body ?? "");
    asked.push([init?.method, String(input).replace("/terminal", ""), text].filter(Boolean).join(" "));
    await hold;
    const next = answers.shift() ?? done;
    const answer = typeof next === "function" ? next() : next;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return {
    asked,
    fetch,
    /** Makes requests wait until what this returns is called. */
    holding: () => {
      let release = () => {};
      hold = new Promise((resolve) => {
        release = () => {
          hold = undefined;
          resolve();
        };
      });
      return release;
    },
  };
}

function typistOf(fetch: typeof globalThis.fetch) {
  return new Typist("/terminal", {
    fetch,
    headers: () => ({}),
    wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    now: () => Date.now(),
    random: () => 1,
  });
}

const bytes = (text: string) => new TextEncoder().encode(text);
const settle = (ms = 100) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("typing into a terminal", () => {
  it("numbers what is typed, and sends together what was typed meanwhile", async () => {
    const { fetch, asked, holding } = server(opened());
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    expect(typist.typing).toEqual({ state: "typing" });
    typist.type(bytes("l"));
    await settle();
    const release = holding();
    typist.type(bytes("s"));
    await settle();
    typist.type(bytes(" -l"));
    typist.type(bytes("a\r"));
    await settle();
    release();
    await settle();
    expect(asked).toEqual([
      'POST {"take_over":false,"columns":80,"rows":24}',
      "POST /s1/input?seq=1 l",
      "POST /s1/input?seq=2 s",
      "POST /s1/input?seq=3  -la\r",
    ]);
  });

  it("sends again under the same number what had no answer", async () => {
    const { fetch, asked } = server(opened(), new Error("no network"), new Response("", { status: 503 }), done());
    const typist = typistOf(fetch);
    const states: string[] = [];
    typist.version.watch(() => states.push(typist.typing.state));
    await typist.begin(size, false);
    typist.type(bytes("a"));
    await settle(2000);
    typist.type(bytes("b"));
    await settle();
    expect(asked.slice(1)).toEqual([
      "POST /s1/input?seq=1 a",
      "POST /s1/input?seq=1 a",
      "POST /s1/input?seq=1 a",
      "POST /s1/input?seq=2 b",
    ]);
    expect(states).toEqual(["opening", "typing", "reconnecting", "typing"]);
    expect(typist.notice).toBeUndefined();
  });

  it("opens a new session for what a forgotten one has surely not typed", async () => {
    const { fetch, asked } = server(opened(), problem(410, "terminal_closed", "silent for a minute"), opened("s2"));
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    typist.type(bytes("x"));
    await settle();
    expect(asked.slice(1)).toEqual([
      "POST /s1/input?seq=1 x",
      `POST ${JSON.stringify({ take_over: false, ...size })}`,
      "POST /s2/input?seq=1 x",
    ]);
    expect(typist.typing.state).toBe("typing");
    expect(typist.notice).toContain("silent for a minute. You type in a new one now");
  });

  it("says what may not have arrived instead of typing it twice, and leaves out what follows it", async () => {
    const { fetch, asked } = server(opened(), new Error("killed"), problem(410, "terminal_closed"), opened("s2"));
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    typist.type(bytes("rm -r "));
    await settle(10);
    typist.type(bytes("/tmp/x\r"));
    await settle(2000);
    typist.type(bytes("y"));
    await settle();
    expect(asked.filter((each) => each.includes("input"))).toEqual([
      "POST /s1/input?seq=1 rm -r ",
      "POST /s1/input?seq=1 rm -r ",
      "POST /s2/input?seq=1 y",
    ]);
    expect(typist.notice).toContain("The last 13 bytes that you typed may not have arrived");
  });

  it("says who types already, and takes over when told to", async () => {
    const { fetch, asked } = server(problem(409, "terminal_in_use", "ann types since 12:00"), opened("mine"));
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    expect(typist.typing).toEqual({ state: "in_use", message: "ann types since 12:00" });
    typist.type(bytes("not for ann's shell"));
    await settle();
    await typist.begin(size, true);
    expect(asked.at(-1)).toContain('"take_over":true');
    expect(asked).toHaveLength(2);
    expect(typist.typing.state).toBe("typing");
  });

  it("drops what was typed when somebody else has taken over", async () => {
    const closed = problem(410, "terminal_closed", "bob took over");
    const { fetch, asked } = server(opened(), closed, problem(409, "terminal_in_use", "bob types since 12:01"));
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    typist.type(bytes("secret"));
    await settle();
    expect(typist.typing).toEqual({ state: "in_use", message: "bob types since 12:01" });
    await settle(60_000);
    expect(asked).toHaveLength(3);
  });

  it("waits while the program does not read", async () => {
    const busy = () => problem(429, "terminal_busy");
    const { fetch, asked } = server(opened(), busy, busy, done);
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    typist.type(bytes("x"));
    await settle();
    expect(typist.notice).toContain("does not read");
    await settle(2000);
    expect(asked.slice(1)).toEqual(Array(3).fill("POST /s1/input?seq=1 x"));
    expect(typist.notice).toBeUndefined();
    expect(typist.typing.state).toBe("typing");
  });

  it("no more says that the program does not read when somebody else has taken over", async () => {
    const closed = problem(410, "terminal_closed", "bob took over");
    const { fetch } = server(opened(), problem(429, "terminal_busy"), closed, problem(409, "terminal_in_use", "bob"));
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    typist.type(bytes("x"));
    await settle(2000);
    expect(typist.typing).toEqual({ state: "in_use", message: "bob" });
    expect(typist.notice).toBeUndefined();
  });

  it("says that there is a new session although the program did not read for a while before", async () => {
    const closed = problem(410, "terminal_closed", "silent for a minute");
    const { fetch, asked } = server(opened(), problem(429, "terminal_busy"), done, closed, opened("s2"));
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    typist.type(bytes("x"));
    await settle(2000);
    typist.type(bytes("y"));
    await settle();
    expect(asked.at(-1)).toBe("POST /s2/input?seq=1 y");
    expect(typist.notice).toContain("silent for a minute. You type in a new one now");
  });

  it("cuts a large paste into what the server takes, and refuses what is too large for us", async () => {
    const { fetch, asked } = server(opened());
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    typist.type(bytes("p".repeat(40_000)));
    typist.type(bytes("q".repeat(mostKept)));
    await settle(1000);
    const lengths = asked.slice(1).map((each) => each.split(" ").at(-1)?.length);
    expect(lengths).toEqual([16_384, 16_384, 40_000 - 2 * 16_384]);
    expect(typist.notice).toContain("were not typed");
  });

  it("gives signs of life, tells a new size, and closes the session when it ends", async () => {
    const { fetch, asked } = server(opened());
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    await settle(20_500);
    typist.resize({ columns: 100, rows: 30 });
    typist.resize({ columns: 100, rows: 30 });
    await settle();
    typist.end();
    await settle(60_000);
    expect(asked.slice(1)).toEqual([
      'PUT /s1/size {"columns":80,"rows":24}',
      'PUT /s1/size {"columns":100,"rows":30}',
      "DELETE /s1",
    ]);
    expect(typist.typing.state).toBe("reading");
  });

  it("opens a new session when a sign of life finds none, without anybody typing", async () => {
    const { fetch, asked } = server(
      opened(),
      problem(410, "terminal_closed", "the server was restarted"),
      opened("s2"),
    );
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    await settle(20_500);
    expect(typist.typing.state).toBe("typing");
    typist.type(bytes("z"));
    await settle();
    expect(asked.at(-1)).toBe("POST /s2/input?seq=1 z");
  });

  it("closes nothing when the program has ended, and its session with it", async () => {
    const { fetch, asked } = server(opened());
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    typist.over();
    typist.type(bytes("nobody reads this"));
    await settle(60_000);
    expect(asked).toHaveLength(1);
    expect(typist.typing.state).toBe("reading");
  });

  it("leaves no session behind when somebody ends while it is opened", async () => {
    const { fetch, asked, holding } = server(opened());
    const release = holding();
    const typist = typistOf(fetch);
    const begun = typist.begin(size, false);
    await settle();
    typist.end();
    release();
    await begun;
    await settle();
    expect(asked.at(-1)).toBe("DELETE /s1");
    expect(typist.typing.state).toBe("reading");
  });

  it("says in the server's words why it cannot type", async () => {
    const { fetch } = server(problem(429, "too_many_terminals", "16 terminals are open"));
    const typist = typistOf(fetch);
    await typist.begin(size, false);
    expect(typist.typing).toEqual({ state: "ended", message: "16 terminals are open" });
  });
});
