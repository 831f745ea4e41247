import { parse, plain, plainStyle, type Style } from "./ansi";
import { Numbers } from "./grow";

export type Stream = "stdout" | "stderr" | "system";
const streams: readonly Stream[] = ["stdout", "stderr", "system"];

/** Bytes of one stream that were read at one moment. */
export interface Segment {
  length: number;
  stream: Stream;
  /** Milliseconds since 1970. */
  at: number;
}

/** Lines that belong together; `end` is the last of them, and grows while the group is open. */
export interface Group {
  start: number;
  end: number;
  title: string;
  depth: number;
}

const block = 256 * 1024;

/** More of a line than this is not shown; it is in the download and in what is copied. */
export const longestShown = 5000;

const newline = 0x0a;
const esc = 0x1b;
const decoder = new TextDecoder();

/**
 * The bytes of a log and where its lines begin. Lines become text when somebody looks at them, so that a million of
 * them costs little more than their bytes.
 */
export class LogStore {
  bytes = 0;
  /** Whether nothing more will come. */
  complete = false;
  /** Whether this is what the runner of agents prints (docs/agents.md). */
  transcript = false;
  readonly groups: Group[] = [];
  readonly #groupAt = new Map<number, Group>();
  #open: Group[] = [];
  readonly #blocks: Uint8Array[] = [];
  readonly #starts = new Numbers();
  readonly #segmentStarts = new Numbers();
  readonly #segmentTimes = new Numbers();
  readonly #segmentStreams = new Numbers();
  /** Lines that begin with another style than the line before them. */
  readonly #styledLines = new Numbers();
  readonly #styles: Style[] = [];
  #style: Style = plainStyle;
  /** Whether there may be an escape sequence in what is not settled yet. */
  #coloured = false;

  /** How many lines there are; the last one may be incomplete. */
  get lines(): number {
    const begun = this.#starts.length;
    // Behind a final newline there is no line.
    return begun > 0 && this.#starts.get(begun - 1) === this.bytes ? begun - 1 : begun;
  }

  /** How many lines will not change any more. */
  get settled(): number {
    return this.complete ? this.lines : Math.max(0, this.#starts.length - 1);
  }

  append(bytes: Uint8Array, segments: readonly Segment[]) {
    if (bytes.length === 0) return;
    let offset = this.bytes;
    for (const segment of segments) {
      this.#segment(offset, segment);
      offset += segment.length;
    }
    if (this.#starts.length === 0) this.#starts.push(0);
    const base = this.bytes;
    this.#put(bytes);
    this.bytes += bytes.length;
    // Most logs have no colours: then no line is looked at for them.
    if (!this.#coloured) this.#coloured = bytes.includes(esc);
    for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, at + 1)) {
      this.#settle(this.#starts.length - 1, base + at);
      this.#starts.push(base + at + 1);
    }
    if (this.#starts.get(this.#starts.length - 1) === this.bytes) this.#coloured = false;
  }

  finish() {
    if (this.complete) return;
    const last = this.#starts.length - 1;
    if (last >= 0 && this.#starts.get(last) < this.bytes) this.#settle(last, this.bytes);
    this.complete = true;
    for (const group of this.#open) group.end = this.lines - 1;
    this.#open = [];
  }

  /** The bytes of lines `from` up to, not including, `until`, with their newlines. */
  slice(from: number, until: number): Uint8Array {
    const start = from < this.#starts.length ? this.#starts.get(from) : this.bytes;
    const end = until < this.#starts.length ? this.#starts.get(until) : this.bytes;
    return this.#read(start, end);
  }

  /** How many bytes a line has, without its newline. */
  size(line: number): number {
    const next = line + 1 < this.#starts.length ? this.#starts.get(line + 1) - 1 : this.bytes;
    return Math.max(0, next - this.#starts.get(line));
  }

  /** A line as it was written, at most so many bytes of it. */
  raw(line: number, most = Number.POSITIVE_INFINITY): string {
    const start = this.#starts.get(line);
    return decoder.decode(this.#read(start, start + Math.min(this.size(line), most)));
  }

  /** A line as text. */
  text(line: number): string {
    return plain(this.raw(line));
  }

  /** The style with which a line begins. */
  style(line: number): Style {
    const at = this.#styledLines.lastUpTo(line);
    return this.#styles[at] ?? plainStyle;
  }

  stream(line: number): Stream {
    const at = this.#segmentStarts.lastUpTo(this.#starts.get(line));
    return streams[this.#segmentStreams.get(at)] ?? "stdout";
  }

  /** When a line's beginning was read, in milliseconds since 1970. */
  at(line: number): number | undefined {
    const at = this.#segmentStarts.lastUpTo(this.#starts.get(line));
    return at < 0 ? undefined : this.#segmentTimes.get(at);
  }

  /** When the first byte was read. */
  get began(): number | undefined {
    return this.#segmentTimes.length > 0 ? this.#segmentTimes.get(0) : undefined;
  }

  /** The group that begins with this line. */
  group(line: number): Group | undefined {
    return this.#groupAt.get(line);
  }

  /** The last line of a group, as far as it is known. */
  groupEnd(group: Group): number {
    return this.#open.includes(group) ? Math.max(group.start, this.lines - 1) : group.end;
  }

  /** How deep in groups a line lies; the line with a group's title lies outside of it. */
  depth(line: number): number {
    const group = this.innermost(line);
    return group === undefined ? 0 : group.depth + 1;
  }

  /** The innermost group that a line lies in. */
  innermost(line: number): Group | undefined {
    let low = 0;
    let high = this.groups.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.groups[middle]?.start ?? 0) < line) low = middle + 1;
      else high = middle;
    }
    // Groups of one depth follow each other: those before the last of them that ended before the line have ended too.
    let deepest = Number.POSITIVE_INFINITY;
    for (let index = low - 1; index >= 0; index--) {
      const group = this.groups[index];
      if (group === undefined || group.depth >= deepest) continue;
      if (this.groupEnd(group) >= line) return group;
      deepest = group.depth;
      if (deepest === 0) return undefined;
    }
    return undefined;
  }

  #put(bytes: Uint8Array) {
    let taken = 0;
    while (taken < bytes.length) {
      const at = (this.bytes + taken) % block;
      let last = this.#blocks.at(-1);
      if (at === 0 || last === undefined) {
        last = new Uint8Array(block);
        this.#blocks.push(last);
      }
      const part = bytes.subarray(taken, taken + block - at);
      last.set(part, at);
      taken += part.length;
    }
  }

  #read(start: number, end: number): Uint8Array {
    const first = Math.floor(start / block);
    const whole = this.#blocks[first];
    if (whole === undefined || end <= start) return new Uint8Array();
    if (Math.floor((end - 1) / block) === first) return whole.subarray(start - first * block, end - first * block);
    const bytes = new Uint8Array(end - start);
    for (let at = start; at < end; ) {
      const number = Math.floor(at / block);
      const from = at - number * block;
      const part = this.#blocks[number]?.subarray(from, Math.min(block, from + end - at));
      if (part === undefined) break;
      bytes.set(part, at - start);
      at += part.length;
    }
    return bytes;
  }

  #segment(offset: number, { stream, at }: Segment) {
    const last = this.#segmentStarts.length - 1;
    const number = streams.indexOf(stream);
    if (last >= 0 && this.#segmentStreams.get(last) === number && this.#segmentTimes.get(last) === at) return;
    this.#segmentStarts.push(offset);
    this.#segmentTimes.push(at);
    this.#segmentStreams.push(number);
  }

  /** Looks at a line that is complete: its escape sequences, and whether a group begins or ends with it. */
  #settle(line: number, end: number) {
    const start = this.#starts.get(line);
    const first = this.#byte(start);
    if (first === 0x3a || first === 0x23 || first === 0xc2 || (first === 0x3d && this.transcript))
      this.#mark(line, end);
    if (!this.#coloured) return;
    const bytes = this.#read(start, end);
    const last = bytes.lastIndexOf(esc);
    if (last < 0) return;
    const style = isReset(bytes, last) ? plainStyle : parse(decoder.decode(bytes), this.#style).end;
    if (style === this.#style) return;
    this.#style = style;
    this.#styledLines.push(line + 1);
    this.#styles.push(style);
  }

  #mark(line: number, end: number) {
    const start = this.#starts.get(line);
    const text = decoder.decode(this.#read(start, Math.min(end, start + longestShown)));
    const begins = /^(?:::group::|##\[group\])(.*)$/.exec(text.trimEnd());
    if (begins) return this.#begin(line, begins[1] ?? "");
    if (/^(?:::endgroup::|##\[endgroup\])/.test(text)) {
      // What the group shows ends with this line.
      const group = this.#open.pop();
      if (group) group.end = line;
      return;
    }
    const run = /^· (run \d+: .*)$/.exec(text);
    if (run && (line === 0 || this.transcript)) {
      this.transcript = true;
      this.#endAll(line - 1);
      this.#begin(line, run[1] ?? "");
    } else if (this.transcript && text.startsWith("= ")) this.#endAll(line - 1);
  }

  #begin(line: number, title: string) {
    const group = { start: line, end: line, title: plain(title).trim(), depth: this.#open.length };
    this.groups.push(group);
    this.#groupAt.set(line, group);
    this.#open.push(group);
  }

  #endAll(line: number) {
    for (const group of this.#open) group.end = line;
    this.#open = [];
  }

  #byte(offset: number): number | undefined {
    return this.#blocks[Math.floor(offset / block)]?.[offset % block];
  }
}

/** Whether the escape sequence at a place sets everything back, so that nothing before it matters. */
function isReset(bytes: Uint8Array, at: number): boolean {
  if (bytes[at + 1] !== 0x5b) return false;
  return bytes[at + 2] === 0x6d || (bytes[at + 2] === 0x30 && bytes[at + 3] === 0x6d);
}
