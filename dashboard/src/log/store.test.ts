import { describe, expect, it } from "vitest";
import { LogStore, type Segment, type Stream } from "./store";

const encoder = new TextEncoder();

function storeOf(...pieces: (string | [Stream, string])[]): LogStore {
  const store = new LogStore();
  pieces.forEach((piece, index) => {
    const [stream, text] = typeof piece === "string" ? (["stdout", piece] as const) : piece;
    const bytes = encoder.encode(text);
    store.append(bytes, [{ length: bytes.length, stream, at: 1000 * index }]);
  });
  return store;
}

const lines = (store: LogStore) => Array.from({ length: store.lines }, (_, line) => store.text(line));

describe("lines", () => {
  it("are found wherever the pieces are cut", () => {
    const text = "first\nsecond ü€𝄞\n\nfourth";
    const whole = encoder.encode(text);
    for (let cut = 0; cut <= whole.length; cut++) {
      const store = new LogStore();
      for (const part of [whole.subarray(0, cut), whole.subarray(cut)]) {
        store.append(part, [{ length: part.length, stream: "stdout", at: 0 }]);
      }
      expect(lines(store)).toEqual(text.split("\n"));
    }
  });

  it("do not begin behind the last newline", () => {
    expect(storeOf("").lines).toBe(0);
    expect(lines(storeOf("a\n"))).toEqual(["a"]);
    expect(lines(storeOf("a\n", "b"))).toEqual(["a", "b"]);
    expect(lines(storeOf("\n"))).toEqual([""]);
  });

  it("settle with their newline, the last one with the end", () => {
    const store = storeOf("a\nb");
    expect(store.settled).toBe(1);
    store.finish();
    expect(store.settled).toBe(2);
  });

  it("may be longer than what is kept in one block", () => {
    const long = "x".repeat(700_000);
    const store = storeOf("a\n", `${long}\n`, "b");
    expect(store.size(1)).toBe(long.length);
    expect(store.raw(1)).toBe(long);
    expect(store.raw(1, 10)).toBe("x".repeat(10));
    expect(store.text(2)).toBe("b");
    expect(new TextDecoder().decode(store.slice(0, 3))).toBe(`a\n${long}\nb`);
  });

  it("are a million without much ado", () => {
    const store = new LogStore();
    const piece = encoder.encode("the quick brown fox jumps over the lazy dog\n".repeat(1000));
    for (let count = 0; count < 1000; count++) {
      store.append(piece, [{ length: piece.length, stream: "stdout", at: count }]);
    }
    store.finish();
    expect(store.lines).toBe(1_000_000);
    expect(store.text(999_999)).toBe("the quick brown fox jumps over the lazy dog");
    expect(store.at(999_999)).toBe(999);
  });
});

describe("what is known of a line", () => {
  it("is its stream and when its beginning was read", () => {
    const store = storeOf("out\n", ["stderr", "err\n"], ["system", "sys\n"]);
    expect([0, 1, 2].map((line) => [store.stream(line), store.at(line)])).toEqual([
      ["stdout", 0],
      ["stderr", 1000],
      ["system", 2000],
    ]);
    expect(store.began).toBe(0);
  });

  it("is the style that lines before it have left", () => {
    const store = storeOf("\x1b[31mred\n", "red\nred \x1b[0m\nplain\n");
    expect([0, 1, 2, 3].map((line) => store.style(line))).toEqual([{}, { fg: 1 }, { fg: 1 }, {}]);
  });
});

describe("groups", () => {
  it("nest, and end with their mark or with the log", () => {
    const store = storeOf(
      "a\n::group::Outer\nb\n##[group]Inner\nc\n##[endgroup]\nd\n::endgroup::\ne\n::group::Open\nf\n",
    );
    store.finish();
    expect(store.groups).toEqual([
      { start: 1, end: 7, title: "Outer", depth: 0 },
      { start: 3, end: 5, title: "Inner", depth: 1 },
      { start: 9, end: 10, title: "Open", depth: 0 },
    ]);
    expect(Array.from({ length: 11 }, (_, line) => store.depth(line))).toEqual([0, 0, 1, 1, 2, 2, 1, 1, 0, 0, 1]);
  });

  it("are as long as the log while they are open", () => {
    const store = storeOf("::group::Open\na\nb\n");
    const [group] = store.groups;
    expect(group && store.groupEnd(group)).toBe(2);
  });

  it("are the runs of an agent", () => {
    const store = storeOf(
      "· run 1: claude with sonnet (work)\n· session 1\n· run 2: codex with o (fallback)\n→ Bash ls\n= DONE\n",
    );
    store.finish();
    expect(store.transcript).toBe(true);
    expect(store.groups.map(({ start, end }) => [start, end])).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it("are not made by lines that only look like an agent's", () => {
    const store = storeOf("hello\n· run 1: x\n= a\n");
    expect(store.transcript).toBe(false);
    expect(store.groups).toEqual([]);
  });
});

it("segments of one stream and moment are one", () => {
  const store = new LogStore();
  const segments: Segment[] = Array.from({ length: 4 }, () => ({ length: 1, stream: "stderr", at: 5 }));
  store.append(encoder.encode("abc\n"), segments);
  expect(store.stream(0)).toBe("stderr");
  expect(store.at(0)).toBe(5);
});
