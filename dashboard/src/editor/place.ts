/** Where in a definition a place of its text is. */
export interface Place {
  /** The keys that lead there; `*` for an element of a list. */
  path: string[];
  /** Whether a key or a value is written here. */
  kind: "key" | "value";
  /** The key, if a value is written; what is written of it so far, if it is the key. */
  key: string;
  /** Where what is written begins, as a column. */
  from: number;
  /** The keys that stand beside it already. */
  beside: Set<string>;
}

const keyed = /^((?:\s*-\s+)*\s*)(?:"([^"]*)"|'([^']*)'|([^\s#"'{}[\],&*!|>%@`-][^#:{}[\],]*?))\s*:(?:\s|$)/;

interface Entry {
  line: number;
  /** The column of its key. */
  column: number;
  key: string;
  /** Whether it is the first of an element of a list. */
  first: boolean;
}

function entryOf(text: string, line: number): Entry | undefined {
  const found = keyed.exec(text);
  if (!found) return undefined;
  const lead = found[1] ?? "";
  return { line, column: lead.length, key: found[2] ?? found[3] ?? found[4] ?? "", first: lead.includes("-") };
}

const indent = (text: string) => text.length - text.trimStart().length;

/**
 * Finds a place by indentation, so that it works while the text is no YAML yet. Lines count from 0. Nothing is said of
 * texts in block scalars, comments and flow collections.
 */
export function placeAt(lines: readonly string[], line: number, column: number): Place | undefined {
  const text = lines[line] ?? "";
  const before = text.slice(0, column);
  if (/(^|\s)#/.test(before) || inScalar(lines, line)) return undefined;
  const lead = /^(?:\s*-\s+)*\s*/.exec(before)?.[0] ?? "";
  const own = entryOf(text, line);
  if (own && column > own.column + own.key.length) {
    const after = /:\s+/.exec(text.slice(own.column + own.key.length));
    const from = own.column + own.key.length + (after ? after.index + after[0].length : 0);
    if (!after || column < from) return undefined;
    const value = text.slice(from, column);
    if (/^[[{|>&*!]/.test(value)) return undefined;
    return {
      path: [...pathTo(lines, line, own.column), own.key],
      kind: "value",
      key: own.key,
      from,
      beside: new Set(),
    };
  }
  const typed = before.slice(lead.length);
  if (/[:{}[\],]/.test(typed)) return undefined;
  const path = pathTo(lines, line, lead.length);
  return { path, kind: "key", key: typed, from: lead.length, beside: beside(lines, line, lead.length) };
}

/** The keys that lead to an entry at a column of a line. */
function pathTo(lines: readonly string[], line: number, column: number): string[] {
  const path: string[] = [];
  let depth = column;
  // Dashes before the entry on its own line are elements of lists.
  const dashes = (text: string, at: number) => (text.slice(0, at).match(/-/g) ?? []).length;
  let elements = dashes(lines[line] ?? "", column);
  let listAt = elements > 0 ? (lines[line] ?? "").indexOf("-") : -1;
  for (let index = line - 1; index >= 0 && depth > 0; index--) {
    const text = lines[index] ?? "";
    if (text.trim() === "" || text.trimStart().startsWith("#")) continue;
    const entry = entryOf(text, index);
    if (elements > 0) {
      // Looking for what the list belongs to: a key at the column of the dash or before it.
      if (entry && !entry.first && entry.column <= listAt) {
        for (; elements > 0; elements--) path.unshift("*");
        path.unshift(entry.key);
        depth = entry.column;
      } else if (entry?.first && entry.column <= listAt && entry.column > 0) {
        for (; elements > 0; elements--) path.unshift("*");
        path.unshift(entry.key);
        depth = entry.column;
        elements = dashes(text, entry.column);
        listAt = text.indexOf("-");
      }
      continue;
    }
    if (entry && entry.column < depth) {
      path.unshift(entry.key);
      depth = entry.column;
      elements = entry.first ? dashes(text, entry.column) : 0;
      listAt = elements > 0 ? text.indexOf("-") : -1;
    } else if (entry?.first && entry.column === depth) {
      // The first entry of the element that this one belongs to.
      elements = dashes(text, entry.column);
      listAt = text.indexOf("-");
    }
  }
  for (; elements > 0; elements--) path.unshift("*");
  return path;
}

/** The keys of the same mapping, before and behind. */
function beside(lines: readonly string[], line: number, column: number): Set<string> {
  const keys = new Set<string>();
  const starts = (lines[line] ?? "").slice(0, column).includes("-");
  for (let index = line - 1; index >= 0 && !starts; index--) {
    const text = lines[index] ?? "";
    if (text.trim() === "") continue;
    const entry = entryOf(text, index);
    if (entry?.column === column) keys.add(entry.key);
    if (entry?.column === column && entry.first) break;
    if ((entry?.column ?? indent(text)) < column && !text.trimStart().startsWith("#")) break;
  }
  for (let index = line + 1; index < lines.length; index++) {
    const text = lines[index] ?? "";
    if (text.trim() === "" || text.trimStart().startsWith("#")) continue;
    const entry = entryOf(text, index);
    if (indent(text) < column) break;
    if (entry?.column === column && !entry.first) keys.add(entry.key);
  }
  return keys;
}

/** Whether a line belongs to a text in a block scalar. */
function inScalar(lines: readonly string[], line: number): boolean {
  const text = lines[line] ?? "";
  let depth = text.trim() === "" ? Number.POSITIVE_INFINITY : indent(text);
  for (let index = line - 1; index >= 0; index--) {
    const above = lines[index] ?? "";
    if (above.trim() === "" || indent(above) >= depth) continue;
    if (/(?:^|[\s:-])[|>][+-]?\d?[+-]?\s*(?:#.*)?$/.test(above)) return text.trim() !== "" || line > index;
    depth = indent(above);
    if (depth === 0) return false;
  }
  return false;
}
