import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Layout } from "./layout";
import { Line, type Shown, shownOf, type Times, textOf } from "./line";
import { Scale } from "./scale";
import type { Searching } from "./searching";
import type { LogStore } from "./store";

/** The height of a row in pixels, as log.css says it. */
const rowHeight = 24;

/** What others may ask of the window onto the log. */
export interface Viewport {
  /** Shows a line, unless it is to be seen already. */
  show: (line: number) => void;
  /** The first line that is seen. */
  top: () => number;
  focus: () => void;
}

export interface Range {
  first: number;
  last: number;
}

interface Props {
  ref: React.Ref<Viewport>;
  store: LogStore;
  layout: Layout;
  label: string;
  times: Times;
  wrap: boolean;
  /** Whether the end is to be seen whenever there is more. */
  follow: boolean;
  selected: Range | undefined;
  current: number | undefined;
  searching: Searching | undefined;
  /** The line to begin with. */
  begin: number;
  onFollow: (follow: boolean) => void;
  onSelect: (line: number, extend: boolean) => void;
  onFold: (line: number) => void;
  onKeyDown: React.KeyboardEventHandler;
}

/**
 * The part of a log that is seen. Only its rows are elements; the scroll bar belongs to an element that is as high as
 * the whole log, or as high as browsers can.
 */
export function LogViewport(props: Props) {
  const { ref, store, layout, times, wrap, follow, searching, onFollow, onSelect } = props;
  const box = useRef<HTMLElement>(null);
  const rows = useRef<HTMLDivElement>(null);
  const ruler = useRef<HTMLSpanElement>(null);
  const place = useRef({ offset: 0, bar: 0, begun: false });
  /** The line that is to stay at the top although all rows are counted anew. */
  const kept = useRef<number>(undefined);
  const idle = useRef<ReturnType<typeof setTimeout>>(undefined);
  const [seen, setSeen] = useState(0);
  const [, redraw] = useState(0);

  layout.sync();
  const { total } = layout;
  const scale = useMemo(() => new Scale(total * rowHeight, seen), [total, seen]);
  const digits = Math.max(3, String(store.lines).length);

  /** Puts the text at an offset, and the scroll bar where it belongs. */
  const moveTo = useCallback((offset: number, to: Scale) => {
    place.current.offset = Math.min(Math.max(offset, 0), to.end);
    const element = box.current;
    if (element === null) return;
    const bar = to.toBar(place.current.offset);
    if (Math.abs(element.scrollTop - bar) > 1) element.scrollTop = bar;
    place.current.bar = element.scrollTop;
  }, []);

  const current = useRef(scale);
  current.current = scale;

  const show = useCallback(
    (line: number) => {
      layout.reveal(line);
      const room = box.current?.clientHeight ?? 0;
      const { offset, begun } = place.current;
      const top = layout.before(line) * rowHeight;
      if (!begun || top < offset || top + rowHeight > offset + room) {
        moveTo(top - room / 3, new Scale(layout.total * rowHeight, room));
        place.current.begun = true;
      }
      redraw((count) => count + 1);
    },
    [layout, moveTo],
  );
  useImperativeHandle(
    ref,
    () => ({
      show,
      top: () => layout.lineAt(Math.floor(place.current.offset / rowHeight)),
      focus: () => box.current?.focus(),
    }),
    [show, layout],
  );

  // How much room there is: rows that are seen, and characters in a row.
  // biome-ignore lint/correctness/useExhaustiveDependencies: times and longer numbers take room from the text
  useLayoutEffect(() => {
    const element = box.current;
    const cell = ruler.current;
    if (element === null || cell === null) return;
    const measure = () => {
      setSeen(element.clientHeight);
      const letters = cell.firstElementChild?.getBoundingClientRect().width ?? 0;
      const width = cell.parentElement?.getBoundingClientRect().width ?? 0;
      const used = cell.getBoundingClientRect().left - (cell.parentElement?.getBoundingClientRect().left ?? 0);
      // The ruler has a hundred letters; a text ends a letter before the edge.
      const letter = letters / 100;
      const top = layout.lineAt(Math.floor(place.current.offset / rowHeight));
      const before = layout.total;
      layout.wrap(wrap && letter > 0 ? Math.max(10, Math.floor((width - used) / letter) - 1) : 0);
      if (layout.total !== before) kept.current ??= top;
      redraw((count) => count + 1);
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, [layout, wrap, times, digits]);

  // Where it begins, and to the end of what has come.
  const begin = useRef(props.begin);
  useLayoutEffect(() => {
    if (seen === 0 || store.lines === 0) return;
    if (follow) moveTo(scale.end, scale);
    else if (!place.current.begun) moveTo(layout.before(begin.current) * rowHeight, scale);
    else if (kept.current !== undefined) moveTo(layout.before(kept.current) * rowHeight, scale);
    else if (place.current.offset > scale.end) moveTo(scale.end, scale);
    else return;
    kept.current = undefined;
    place.current.begun = true;
    redraw((count) => count + 1);
  }, [scale, seen, follow, moveTo, layout, store]);

  useEffect(() => () => clearTimeout(idle.current), []);

  const scrolled = () => {
    const element = box.current;
    if (element === null || element.scrollTop === place.current.bar) return;
    const before = place.current.offset;
    place.current.offset = scale.moved(before, place.current.bar, element.scrollTop, 2 * seen + 200);
    place.current.bar = element.scrollTop;
    const atEnd = place.current.offset >= scale.end - 2;
    if (follow && !atEnd && place.current.offset < before) onFollow(false);
    else if (!follow && atEnd) onFollow(true);
    clearTimeout(idle.current);
    idle.current = setTimeout(() => moveTo(place.current.offset, current.current), 200);
    redraw((count) => count + 1);
  };

  const { lines, top } = visible(layout, store, place.current.offset, seen);
  const shown = lines.map((line) => ({ line, shown: remembered(store, line) }));

  useEffect(() => {
    searching?.look(shown.map(({ line, shown: each }) => ({ line, text: textOf(each) })));
  });

  // Wrapped lines are as high as the browser makes them.
  useLayoutEffect(() => {
    if (!wrap || rows.current === null) return;
    let changed = false;
    for (const element of rows.current.children) {
      const line = Number((element as HTMLElement).dataset.line);
      const height = Math.max(1, Math.round((element as HTMLElement).offsetHeight / rowHeight));
      if (layout.rows(line) !== height && layout.rows(line) > 0) {
        layout.measured(line, height);
        changed = true;
      }
    }
    if (changed) redraw((count) => count + 1);
  });

  // Numbers of lines are no links of their own: "Go to line" does the same by keyboard, with Shift too.
  useEffect(() => {
    const element = rows.current;
    if (element === null) return;
    const clicked = (event: MouseEvent) => {
      const number = (event.target as Element).closest<HTMLElement>("[data-number]")?.dataset.number;
      if (number !== undefined) onSelect(Number(number), event.shiftKey);
    };
    element.addEventListener("click", clicked);
    return () => element.removeEventListener("click", clicked);
  }, [onSelect]);

  const { selected } = props;
  return (
    <section
      ref={box}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
      tabIndex={0}
      aria-label={props.label}
      onScroll={scrolled}
      onKeyDown={props.onKeyDown}
      className="log-rows max-h-[calc(100dvh-13rem)] min-h-24 overflow-auto bg-panel"
    >
      <div
        className="relative w-max min-w-full"
        style={{ height: Math.max(scale.element, rowHeight), ...(wrap && { width: "100%" }) }}
      >
        <div className="log-line invisible absolute inset-x-0 top-0 h-0 min-h-0 overflow-hidden" aria-hidden>
          <span className="log-gutter">
            <span className="log-number" style={{ width: `${digits + 2}ch` }} />
            {times !== "off" && <span className="log-time" />}
            <span className="log-stream" />
          </span>
          <span ref={ruler} className="log-text">
            <span>{"0".repeat(100)}</span>
          </span>
        </div>
        <div
          className="sticky top-0 overflow-clip"
          style={{
            height: Math.min(seen, Math.max(scale.element, rowHeight)),
            ...(wrap ? { width: "100%" } : { width: "max-content", minWidth: "100%" }),
          }}
        >
          <div ref={rows} style={{ transform: `translateY(${top}px)` }}>
            {shown.map(({ line, shown: each }) => {
              const group = store.group(line);
              return (
                <Line
                  key={line}
                  line={line}
                  shown={each}
                  digits={digits}
                  stream={store.stream(line)}
                  at={store.at(line)}
                  began={store.began}
                  times={times}
                  wrap={wrap}
                  depth={store.depth(line)}
                  selected={selected !== undefined && line >= selected.first && line <= selected.last}
                  current={line === props.current}
                  marks={searching?.marks(line)}
                  folded={group && layout.isFolded(group)}
                  onFold={props.onFold}
                />
              );
            })}
          </div>
        </div>
      </div>
    </section>
  );
}

/** The lines that are to be seen, and where the first of them begins, in pixels. */
function visible(layout: Layout, store: LogStore, offset: number, seen: number): { lines: number[]; top: number } {
  if (store.lines === 0) return { lines: [], top: 0 };
  const row = Math.floor(offset / rowHeight);
  const first = layout.lineAt(row);
  const top = layout.before(first) * rowHeight - offset;
  const lines: number[] = [];
  let y = top;
  for (let line = first; line < store.lines && y < seen; line = layout.next(line)) {
    lines.push(line);
    y += Math.max(1, layout.rows(line)) * rowHeight;
  }
  return { lines, top };
}

/** Lines that do not change any more are parsed once as long as they are seen. */
const cache = new WeakMap<LogStore, Map<number, Shown>>();

function remembered(store: LogStore, line: number): Shown {
  if (line >= store.settled) return shownOf(store, line);
  let known = cache.get(store);
  if (known === undefined || known.size > 1000) {
    known = new Map();
    cache.set(store, known);
  }
  let shown = known.get(line);
  if (shown === undefined) {
    shown = shownOf(store, line);
    known.set(line, shown);
  }
  return shown;
}
