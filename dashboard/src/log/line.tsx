import { ChevronDown, ChevronRight } from "lucide-react";
import { memo } from "react";
import { cn } from "../ui/cn";
import { duration } from "../ui/time";
import { parse, type Span, type Style } from "./ansi";
import { type LogStore, longestShown, type Stream } from "./store";

export type Times = "off" | "clock" | "elapsed";

export interface Shown {
  spans: Span[];
  /** Bytes of the line that are not shown. */
  cut: number;
  tone: string | undefined;
}

const tones: [RegExp, string][] = [
  [/^(?:::error\b|##\[error\])/, "text-bad"],
  [/^(?:::warning\b|##\[warning\])/, "text-ask"],
  [/^(?:::notice\b|##\[notice\])/, "text-run"],
  [/^(?:::debug\b|##\[debug\]|::endgroup::|##\[endgroup\])/, "text-soft"],
];

/** What the runner of agents puts before its lines: calls of tools, their answers, messages, problems (docs/agents.md). */
const marks: Record<string, string> = {
  "·": "text-soft",
  "→": "text-run",
  "←": "text-soft",
  "«": "font-semibold",
  "!": "text-bad",
  "✗": "text-bad",
  "=": "font-semibold text-ok",
  e: "text-soft",
};

/** A line as it is shown. */
export function shownOf(store: LogStore, line: number): Shown {
  const group = store.group(line);
  if (group) return { spans: [{ text: group.title, style: {} }], cut: 0, tone: "font-semibold" };
  const raw = store.raw(line, longestShown);
  const { spans } = parse(raw, store.style(line));
  const tone = store.transcript
    ? raw.charAt(1) === " "
      ? marks[raw.charAt(0)]
      : undefined
    : tones.find(([begin]) => begin.test(raw))?.[1];
  return { spans, cut: Math.max(0, store.size(line) - longestShown), tone };
}

export const textOf = (shown: Shown) => shown.spans.map((span) => span.text).join("");

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

const streamWords: Record<Stream, { short: string; long: string; look: string }> = {
  stdout: { short: "", long: "", look: "border-transparent" },
  stderr: { short: "err", long: "standard error", look: "border-bad text-bad" },
  system: { short: "sys", long: "from Atta", look: "border-run text-run" },
};

interface Props {
  line: number;
  shown: Shown;
  digits: number;
  stream: Stream;
  at: number | undefined;
  began: number | undefined;
  times: Times;
  wrap: boolean;
  depth: number;
  selected: boolean;
  current: boolean;
  marks: number[] | undefined;
  /** Whether the group that begins here is folded; undefined when none begins. */
  folded: boolean | undefined;
  onFold: (line: number) => void;
}

/** One line: its number, time and stream, and its text. */
export const Line = memo(function Line(props: Props) {
  const { line, shown, digits, stream, at, began, times, wrap, depth, selected, current, folded, onFold } = props;
  const { short, long, look } = streamWords[stream];
  return (
    <div data-line={line} className={cn("log-line", selected && "log-selected", current && "log-current")}>
      <span className="log-gutter">
        <span className="log-number" data-number={line} style={{ width: `${digits + 2}ch` }}>
          {line + 1}
        </span>
        {times !== "off" && (
          <span className="log-time" title={at === undefined ? undefined : whole.format(at)}>
            {at !== undefined &&
              (times === "clock" ? clock.format(at) : `+${duration(Math.max(0, at - (began ?? at)))}`)}
          </span>
        )}
        <span className={cn("log-stream", look)} title={long || undefined}>
          {short}
        </span>
      </span>
      <span className={cn("log-text", wrap && "log-wrap", shown.tone)} style={{ paddingLeft: `${depth * 2}ch` }}>
        {folded !== undefined && (
          <button type="button" className="log-fold" aria-expanded={!folded} onClick={() => onFold(line)}>
            {folded ? <ChevronRight aria-hidden size={14} /> : <ChevronDown aria-hidden size={14} />}
            <span className="sr-only">Group</span>
          </button>
        )}
        <Spans spans={shown.spans} marks={props.marks} current={current} />
        {shown.cut > 0 && <span className="text-soft"> … {shown.cut.toLocaleString("en")} more bytes</span>}
      </span>
    </div>
  );
});

function Spans({ spans, marks, current }: { spans: Span[]; marks: number[] | undefined; current: boolean }) {
  const shown: React.ReactNode[] = [];
  let begin = 0;
  for (const span of spans) {
    const parts = split(span.text, begin, marks);
    const inside = parts.map(({ text, marked }, index) =>
      marked ? (
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces of one text, in order
        <mark key={index} className={current ? "log-mark log-mark-current" : "log-mark"}>
          {text}
        </mark>
      ) : (
        text
      ),
    );
    shown.push(
      span.link === undefined ? (
        <span key={begin} className={classes(span.style)} style={colours(span.style)}>
          {inside}
        </span>
      ) : (
        <a
          key={begin}
          href={span.link}
          target="_blank"
          rel="noopener noreferrer"
          className={cn(classes(span.style), "underline")}
          style={colours(span.style)}
        >
          {inside}
        </a>
      ),
    );
    begin += span.text.length;
  }
  return shown;
}

/** Cuts a text that begins at `begin` of its line where marks begin and end. */
export function split(text: string, begin: number, marks: number[] | undefined): { text: string; marked: boolean }[] {
  if (marks === undefined) return [{ text, marked: false }];
  const parts: { text: string; marked: boolean }[] = [];
  let at = 0;
  for (let index = 0; index < marks.length; index += 2) {
    const from = Math.max((marks[index] ?? 0) - begin, at);
    const to = Math.min((marks[index + 1] ?? 0) - begin, text.length);
    if (to <= from) continue;
    if (from > at) parts.push({ text: text.slice(at, from), marked: false });
    parts.push({ text: text.slice(from, to), marked: true });
    at = to;
  }
  if (at < text.length) parts.push({ text: text.slice(at), marked: false });
  return parts;
}

function classes(style: Style): string {
  // Turned around, a colour becomes the ground of the text's own colour.
  const [fg, bg] = style.inverse
    ? [style.bg ?? (style.fg === undefined ? "page" : undefined), style.fg ?? "text"]
    : [style.fg, style.bg];
  return cn(
    fg !== undefined && (typeof fg === "number" || fg === "page" ? `ansi-fg-${fg}` : "ansi-fg"),
    bg !== undefined && (typeof bg === "number" || bg === "text" ? `ansi-bg-${bg}` : "ansi-bg"),
    style.bold && "font-bold",
    style.dim && "opacity-75",
    style.italic && "italic",
    (style.underline || style.strike) && (style.underline ? "underline" : "line-through"),
  );
}

function colours(style: Style): React.CSSProperties | undefined {
  const [fg, bg] = style.inverse ? [style.bg, style.fg] : [style.fg, style.bg];
  const values: Record<string, string> = {};
  if (typeof fg === "string") values["--ansi-fg"] = fg;
  if (typeof bg === "string") values["--ansi-bg"] = bg;
  return Object.keys(values).length === 0 ? undefined : values;
}
