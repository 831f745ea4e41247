import { describe, expect, it } from "vitest";
import { Layout } from "./layout";
import { Rows } from "./rows";
import { Scale } from "./scale";
import { LogStore } from "./store";

function storeOf(text: string): LogStore {
  const store = new LogStore();
  const bytes = new TextEncoder().encode(text);
  store.append(bytes, [{ length: bytes.length, stream: "stdout", at: 0 }]);
  return store;
}

describe("rows", () => {
  it("tell lines and rows of each other, however they came", () => {
    const counts = Array.from({ length: 3000 }, (_, line) => (line * 7) % 4);
    const built = new Rows();
    built.rebuild(counts.length, (line) => counts[line] ?? 0);
    const pushed = new Rows();
    for (const each of counts) pushed.push(each);
    const changed = new Rows();
    changed.rebuild(counts.length, () => 1);
    counts.forEach((each, line) => {
      changed.set(line, each);
    });
    for (const rows of [built, pushed, changed]) {
      let row = 0;
      counts.forEach((each, line) => {
        expect(rows.before(line)).toBe(row);
        for (let part = 0; part < each; part++) expect(rows.lineAt(row + part)).toBe(line);
        row += each;
      });
      expect(rows.total).toBe(row);
    }
  });

  it("are none of nothing", () => {
    const rows = new Rows();
    expect(rows.total).toBe(0);
    expect(rows.lineAt(0)).toBe(0);
  });
});

describe("the layout", () => {
  const text = "a\n::group::G\nb\n::group::H\nc\n::endgroup::\n::endgroup::\nd\n";

  it("shows every line in a row of its own", () => {
    const layout = new Layout(storeOf(text));
    expect(layout.total).toBe(8);
    expect(layout.lineAt(3)).toBe(3);
    expect(layout.next(3)).toBe(4);
  });

  it("leaves out what is folded, and opens it for a line that is to be seen", () => {
    const store = storeOf(text);
    const layout = new Layout(store);
    layout.fold(store.groups, true);
    expect(layout.total).toBe(3);
    expect([0, 1, 2].map((row) => layout.lineAt(row))).toEqual([0, 1, 7]);
    expect(layout.next(1)).toBe(7);
    layout.reveal(4);
    expect(layout.total).toBe(8);
    expect(layout.foldedCount).toBe(0);
  });

  it("keeps what comes into a folded group folded", () => {
    const store = storeOf("::group::Open\na\n");
    const layout = new Layout(store);
    layout.fold(store.groups, true);
    store.append(new TextEncoder().encode("b\nc\n"), [{ length: 4, stream: "stdout", at: 0 }]);
    layout.sync();
    expect(layout.total).toBe(1);
  });

  it("wraps lines by their length, and believes what was measured", () => {
    const store = storeOf(`${"x".repeat(25)}\nshort\n`);
    const layout = new Layout(store);
    layout.wrap(10);
    expect(layout.total).toBe(4);
    layout.measured(0, 5);
    expect(layout.before(1)).toBe(5);
    layout.wrap(0);
    expect(layout.total).toBe(2);
  });

  it("counts a line anew that has grown", () => {
    const store = storeOf("abc");
    const layout = new Layout(store);
    layout.wrap(10);
    store.append(new TextEncoder().encode("x".repeat(20)), [{ length: 20, stream: "stdout", at: 0 }]);
    layout.sync();
    expect(layout.total).toBe(3);
  });
});

describe("the scale of the scroll bar", () => {
  it("is the text's as long as a browser can", () => {
    const scale = new Scale(1_000_000, 500);
    expect(scale.element).toBe(1_000_000);
    expect(scale.toText(1234)).toBe(1234);
    expect(scale.end).toBe(999_500);
  });

  it("leads through any height, and back", () => {
    const scale = new Scale(200_000_000, 500);
    expect(scale.element).toBeLessThan(17_000_000);
    expect(scale.toText(scale.element)).toBe(scale.end);
    for (const offset of [0, 10, 2_999_999, 50_000_000, 120_000_000.5, 199_000_000, scale.end]) {
      expect(scale.toText(scale.toBar(offset))).toBeCloseTo(offset, 3);
    }
  });

  it("moves the text as far as a small move of the bar", () => {
    const scale = new Scale(200_000_000, 500);
    const bar = scale.toBar(100_000_000);
    expect(scale.moved(100_000_000, bar, bar + 120, 1000)).toBe(100_000_120);
    expect(scale.moved(100_000_000, bar, bar + 100_000, 1000)).toBeGreaterThan(103_000_000);
    expect(scale.moved(100_000_000, bar, 0, 1000)).toBe(0);
  });
});
