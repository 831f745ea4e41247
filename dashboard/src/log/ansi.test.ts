import { describe, expect, it } from "vitest";
import { parse, plain } from "./ansi";

const text = (line: string) =>
  parse(line)
    .spans.map((span) => span.text)
    .join("");

describe("escape sequences", () => {
  it("become spans of one look each", () => {
    const { spans, end } = parse("a \x1b[1;31mred\x1b[0m b");
    expect(spans).toEqual([
      { text: "a ", style: {} },
      { text: "red", style: { bold: true, fg: 1 } },
      { text: " b", style: {} },
    ]);
    expect(end).toEqual({});
  });

  it("hold beyond the end of a line", () => {
    const { end } = parse("\x1b[32mgreen");
    expect(parse("still", end).spans).toEqual([{ text: "still", style: { fg: 2 } }]);
  });

  it("name colours of sixteen, of 256 and of all", () => {
    const fg = (codes: string) => parse(`\x1b[${codes}mx`).spans[0]?.style.fg;
    expect(fg("94")).toBe(12);
    expect(fg("38;5;9")).toBe(9);
    expect(fg("38;5;196")).toBe("rgb(255 0 0)");
    expect(fg("38;5;244")).toBe("rgb(128 128 128)");
    expect(fg("38;2;1;2;3")).toBe("rgb(1 2 3)");
    expect(fg("38;2;1;2;999")).toBeUndefined();
    expect(fg("38;5;-1")).toBeUndefined();
  });

  it("end one by one", () => {
    expect(parse("\x1b[1;3;4;7;9;31;42m\x1b[22;23;24;27;29;39;49mx").spans).toEqual([{ text: "x", style: {} }]);
  });

  it("that move a cursor or set a title are left out, also when they are cut off", () => {
    expect(text("\x1b[2K\x1b[1Ga\x1b]0;title\x07b\x1b(Bc\x1b[12")).toBe("abc");
  });

  it("link to pages of the web only", () => {
    expect(parse("\x1b]8;;https://example.org/a\x1b\\here\x1b]8;;\x1b\\ there").spans).toEqual([
      { text: "here", style: {}, link: "https://example.org/a" },
      { text: " there", style: {} },
    ]);
    expect(parse("\x1b]8;;javascript:alert(1)\x07here\x1b]8;;\x07").spans).toEqual([{ text: "here", style: {} }]);
  });
});

describe("what is shown of a line", () => {
  it("is what was written last when a program went back to its beginning", () => {
    expect(text("10 %\r50 %\r100 %\r")).toBe("100 %");
    expect(text("\x1b[33m10 %\r100 %")).toBe("100 %");
    expect(parse("\x1b[33m10 %\r100 %").spans[0]?.style).toEqual({ fg: 3 });
  });

  it("has no character that does something else than being seen", () => {
    expect(text("a\x00b\x08c\u202ed\x7f")).toBe("a␀b␈c\ufffdd␡");
    expect(text("<script>alert(1)</script>")).toBe("<script>alert(1)</script>");
  });

  it("is the same text whether it is searched or shown", () => {
    for (const line of ["a\tb", "\x1b[1mx\ry\x1b[0mz\r", "\x1b]0;t\x1b\\q", "\x1b", "\r", "", "ü\u0085\x1b[999m€"]) {
      expect(text(line)).toBe(plain(line));
    }
  });
});
