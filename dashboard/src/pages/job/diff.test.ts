import { expect, test } from "vitest";
import { compareLines, readDiff } from "./diff";

const text = `diff --git a/bin/shout b/bin/shout
new file mode 100755
index 0000000..e69de29
--- /dev/null
+++ b/bin/shout
@@ -0,0 +1,2 @@
+#!/bin/sh
++++ not a header
diff --git a/a b.txt b/a b.txt
--- a/a b.txt
+++ b/a b.txt
@@ -1,3 +1,2 @@ fn x()
 one
--- two
-three
+3
\\ No newline at end of file
diff --git a/old b/new
similarity index 100%
rename from old
rename to new
diff --git a/p.png b/p.png
Binary files a/p.png and b/p.png differ
`;

test("a diff is read file by file, with numbers of lines", () => {
  const files = readDiff(text);
  expect(files.map((file) => [file.path, file.kind, file.added, file.removed])).toEqual([
    ["bin/shout", "added", 2, 0],
    ["a b.txt", "changed", 1, 2],
    ["new", "renamed", 0, 0],
    ["p.png", "binary", 0, 0],
  ]);
  expect(files[0]?.hunks[0]?.lines[1]).toEqual({ kind: "added", text: "+++ not a header", after: 2 });
  expect(files[1]?.hunks[0]?.lines.at(-1)).toEqual({ kind: "note", text: "No newline at end of file" });
  expect(files[2]?.from).toBe("old");
  expect(readDiff("nothing\n@@ -1 +1 @@\n")).toEqual([]);
});

test("what differs between two texts is as little as possible", () => {
  const signs = { same: " ", added: "+", removed: "-" };
  const compare = (a: string, b: string) =>
    compareLines([...a], [...b])
      .map((each) => signs[each.kind] + each.text)
      .join("");
  expect(compare("abc", "abc")).toBe(" a b c");
  expect(compare("", "ab")).toBe("+a+b");
  expect(compare("abcabba", "cbabac").match(/[+-]/g)).toHaveLength(5);
  for (const [a, b] of [
    ["abcd", "axcyd"],
    ["xxabxx", "xxbaxx"],
    ["aaaa", "bb"],
  ] as const) {
    const both = compareLines([...a], [...b]);
    const side = (gone: string) => both.flatMap((each) => (each.kind === gone ? [] : [each.text])).join("");
    expect(side("added")).toBe(a);
    expect(side("removed")).toBe(b);
  }
});
