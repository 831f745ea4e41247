/** A unified diff, file by file. */
export interface FileDiff {
  /** The path after the change, or before it for a file that is gone. */
  path: string;
  /** The path before, when it was another one. */
  from?: string;
  kind: "added" | "deleted" | "renamed" | "changed" | "binary";
  added: number;
  removed: number;
  hunks: Hunk[];
}

export interface Hunk {
  header: string;
  lines: DiffLine[];
}

export interface DiffLine {
  kind: "same" | "added" | "removed" | "note";
  text: string;
  before?: number;
  after?: number;
}

/** Reads what `git diff` or `diff -u` wrote. Lines that belong to no file are left out. */
export function readDiff(text: string): FileDiff[] {
  const files: FileDiff[] = [];
  let file: FileDiff | undefined;
  let hunk: Hunk | undefined;
  let [before, after, leftBefore, leftAfter] = [0, 0, 0, 0];
  const begin = (path: string) => {
    file = { path, kind: "changed", added: 0, removed: 0, hunks: [] };
    hunk = undefined;
    [leftBefore, leftAfter] = [0, 0];
    files.push(file);
    return file;
  };
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    // Inside of a hunk its counts say what belongs to it: a removed line may look like a header.
    if (hunk && file && (leftBefore > 0 || leftAfter > 0)) {
      const sign = line[0] ?? " ";
      const rest = line.slice(1);
      if (sign === "+") {
        hunk.lines.push({ kind: "added", text: rest, after: after++ });
        file.added++;
        leftAfter--;
        continue;
      }
      if (sign === "-") {
        hunk.lines.push({ kind: "removed", text: rest, before: before++ });
        file.removed++;
        leftBefore--;
        continue;
      }
      if (sign === " ") {
        hunk.lines.push({ kind: "same", text: rest, before: before++, after: after++ });
        leftBefore--;
        leftAfter--;
        continue;
      }
    }
    if (line.startsWith("\\") && hunk) {
      hunk.lines.push({ kind: "note", text: line.slice(2) });
      continue;
    }
    const git = /^diff --git (?:"?a\/(.*?)"?) (?:"?b\/(.*?)"?)$/.exec(line);
    if (git) {
      begin(git[2] ?? "");
      continue;
    }
    if (line.startsWith("--- ") && lines[at + 1]?.startsWith("+++ ")) {
      const [old, now] = [nameOf(line), nameOf(lines[at + 1] ?? "")];
      const current = file && file.hunks.length === 0 ? file : begin(now ?? old ?? "");
      current.path = now ?? old ?? current.path;
      if (old === undefined) current.kind = "added";
      if (now === undefined) current.kind = "deleted";
      at++;
      continue;
    }
    const numbers = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)$/.exec(line);
    if (numbers && file) {
      [before, after] = [Number(numbers[1]), Number(numbers[3])];
      [leftBefore, leftAfter] = [Number(numbers[2] ?? 1), Number(numbers[4] ?? 1)];
      hunk = { header: line, lines: [] };
      file.hunks.push(hunk);
      continue;
    }
    if (!file) continue;
    if (line.startsWith("new file")) file.kind = "added";
    else if (line.startsWith("deleted file")) file.kind = "deleted";
    else if (line.startsWith("rename from ")) [file.kind, file.from] = ["renamed", line.slice(12)];
    else if (line.startsWith("Binary files ") || line.startsWith("GIT binary patch")) file.kind = "binary";
  }
  return files;
}

function nameOf(line: string): string | undefined {
  const name = line.slice(4).split("\t")[0]?.replace(/^"|"$/g, "") ?? "";
  return name === "/dev/null" ? undefined : name.replace(/^[ab]\//, "");
}

export const looksLikeDiff = (name: string) => /\.(diff|patch)$/i.test(name);

export interface Compared {
  kind: "same" | "added" | "removed";
  text: string;
}

/** Above so many differing lines they are shown as replaced as a whole. */
const most = 4000;

/** What differs between two texts, line by line: the shortest edit (Myers), with equal beginnings and ends set aside. */
export function compareLines(before: string[], after: string[]): Compared[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let end = 0;
  while (
    end < before.length - start &&
    end < after.length - start &&
    before[before.length - 1 - end] === after[after.length - 1 - end]
  )
    end++;
  const same = (text: string): Compared => ({ kind: "same", text });
  const middle = shortest(before.slice(start, before.length - end), after.slice(start, after.length - end));
  return [...before.slice(0, start).map(same), ...middle, ...before.slice(before.length - end).map(same)];
}

function shortest(a: string[], b: string[]): Compared[] {
  const whole = (): Compared[] => [
    ...a.map((text): Compared => ({ kind: "removed", text })),
    ...b.map((text): Compared => ({ kind: "added", text })),
  ];
  if (a.length === 0 || b.length === 0 || a.length + b.length > most * 4) return whole();
  const trace: Map<number, number>[] = [];
  let furthest = new Map<number, number>([[1, 0]]);
  const limit = Math.min(a.length + b.length, most);
  for (let d = 0; d <= limit; d++) {
    trace.push(new Map(furthest));
    const next = new Map(furthest);
    for (let k = -d; k <= d; k += 2) {
      const [down, right] = [next.get(k + 1) ?? -1, next.get(k - 1) ?? -1];
      let x = k === -d || (k !== d && right < down) ? down : right + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      next.set(k, x);
      if (x >= a.length && x - k >= b.length) return walkBack(a, b, trace, d);
    }
    furthest = next;
    // The trace is quadratic in the number of edits.
    if (d > 1200) return whole();
  }
  return whole();
}

function walkBack(a: string[], b: string[], trace: Map<number, number>[], edits: number): Compared[] {
  const found: Compared[] = [];
  let [x, y] = [a.length, b.length];
  for (let d = edits; d > 0; d--) {
    const before = trace[d] ?? new Map<number, number>();
    const k = x - y;
    const [down, right] = [before.get(k + 1) ?? -1, before.get(k - 1) ?? -1];
    const from = k === -d || (k !== d && right < down) ? k + 1 : k - 1;
    const startX = before.get(from) ?? 0;
    const startY = startX - from;
    while (x > startX && y > startY && x > 0 && y > 0 && a[x - 1] === b[y - 1]) {
      found.push({ kind: "same", text: a[--x] ?? "" });
      y--;
    }
    if (x > startX) found.push({ kind: "removed", text: a[--x] ?? "" });
    else if (y > startY) found.push({ kind: "added", text: b[--y] ?? "" });
  }
  while (x > 0 && y > 0) {
    found.push({ kind: "same", text: a[--x] ?? "" });
    y--;
  }
  return found.reverse();
}
