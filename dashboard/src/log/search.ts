import { plain } from "./ansi";

export interface Query {
  text: string;
  regex: boolean;
  matchCase: boolean;
}

/** The expression that a query looks for, or the sentence why there is none. */
export function compile(query: Query): RegExp | string {
  const source = query.regex ? query.text : query.text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
  try {
    return new RegExp(source, query.matchCase ? "g" : "gi");
  } catch (error) {
    return error instanceof Error ? error.message.replace(/^Invalid regular expression: /, "") : String(error);
  }
}

/** Where an expression matches in a text: pairs of beginning and end. Matches without a character do not count. */
export function matches(expression: RegExp, text: string): number[] {
  const found: number[] = [];
  expression.lastIndex = 0;
  for (let match = expression.exec(text); match; match = expression.exec(text)) {
    if (match[0] === "") expression.lastIndex++;
    else found.push(match.index, match.index + match[0].length);
  }
  return found;
}

/** The lines of a piece of a log that match, counted from `first`, and how often all of them match. */
export function scan(expression: RegExp, piece: string, first: number): { lines: number[]; count: number } {
  const lines: number[] = [];
  let count = 0;
  let line = first;
  const body = piece.endsWith("\n") ? piece.slice(0, -1) : piece;
  for (const text of body.split("\n")) {
    const found = matches(expression, needsCleaning(text) ? plain(text) : text).length / 2;
    if (found > 0) {
      lines.push(line);
      count += found;
    }
    line++;
  }
  return { lines, count };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
const dirty = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;

function needsCleaning(text: string): boolean {
  return dirty.test(text);
}

export type Request =
  | { kind: "query"; query: Query }
  | { kind: "scan"; id: number; bytes: Uint8Array<ArrayBuffer>; first: number }
  | { kind: "mark"; id: number; lines: { line: number; text: string }[] };

export type Answer =
  | { kind: "scanned"; id: number; lines: number[]; count: number }
  | { kind: "marked"; id: number; marks: { line: number; ranges: number[] }[] };
