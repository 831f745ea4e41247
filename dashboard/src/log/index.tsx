import { useLocation, useNavigate } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useReducer, useRef, useState, useSyncExternalStore } from "react";
import { download } from "../api/files";
import { bytes, Empty, ErrorBox } from "../ui/kit";
import { toast } from "../ui/toast";
import { Layout } from "./layout";
import type { Times } from "./line";
import "./log.css";
import { fromHash, toHash } from "./place";
import type { Query } from "./search";
import { Searching } from "./searching";
import { type LogSource, sourceOf } from "./source";
import { SearchBar, Tools } from "./toolbar";
import { LogViewport, type Range, type Viewport } from "./viewport";

/** More is not put on the clipboard at once. */
const mostCopied = 16 * 1024 * 1024;

/** The log of an attempt, while it is written and afterwards. */
export function LogView(props: { jobId: string; task: string; attempt: number; live: boolean }) {
  const { jobId, attempt } = props;
  const source = useMemo(() => sourceOf(jobId, attempt), [jobId, attempt]);
  return <Log key={source.url} source={source} {...props} />;
}

/** Where each log was left, as long as the page is open. */
const left = new Map<string, { line: number; follow: boolean }>();

const remembered = {
  get: (name: string) => localStorage.getItem(`atta.log.${name}`),
  set: (name: string, value: string) => localStorage.setItem(`atta.log.${name}`, value),
};

function Log({
  source,
  jobId,
  task,
  attempt,
  live,
}: {
  source: LogSource;
  jobId: string;
  task: string;
  attempt: number;
  live: boolean;
}) {
  const version = useSyncExternalStore(source.watch, () => source.version);
  const { store } = source;
  const layout = useMemo(() => new Layout(store), [store]);
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const place = useAddress(task, attempt);
  const [follow, setFollow] = useState(place.selected === undefined && (left.get(source.url)?.follow ?? true));
  const [wrap, setWrap] = useState(remembered.get("wrap") === "on");
  const [times, setTimes] = useState<Times>(() => {
    const value = remembered.get("times");
    return value === "clock" || value === "elapsed" ? value : "off";
  });
  const [said, setSaid] = useState("");
  const view = useRef<Viewport>(null);
  const field = useRef<HTMLInputElement>(null);
  const search = useSearch(source, version, view, () => setFollow(false));

  const show = useCallback((line: number) => {
    setFollow(false);
    view.current?.show(line);
  }, []);

  // The lines that the address names, as soon as they have arrived.
  const { selected } = place;
  const arrived = selected !== undefined && store.lines > selected.first;
  const shownFor = useRef<Range>(undefined);
  // Each time: while something beside the log is still being fetched, the page is hidden and there is no window.
  useEffect(() => {
    if (!arrived || selected === undefined || view.current === null) return;
    const before = shownFor.current;
    if (before?.first === selected.first && before.last === selected.last) return;
    shownFor.current = selected;
    show(selected.first);
  });

  const followed = useRef(follow);
  followed.current = follow;
  // There is no window before the first line has come.
  const begun = store.lines > 0;
  useEffect(() => {
    const window = view.current;
    if (!begun || window === null) return;
    return () => void left.set(source.url, { line: window.top(), follow: followed.current });
  }, [source, begun]);

  const onSelect = useCallback(
    (line: number, extend: boolean) => {
      const range = selectedBy(place.current(), line, extend);
      shownFor.current = range;
      place.select(range);
    },
    [place],
  );
  const onFold = useCallback(
    (line: number) => {
      const group = store.group(line);
      if (group === undefined) return;
      setFollow(false);
      layout.fold([group], !layout.isFolded(group));
      redraw();
    },
    [layout, store],
  );

  const onKeyDown = (event: React.KeyboardEvent) => {
    const find = (event.ctrlKey || event.metaKey) && event.key === "f";
    if (find || (event.key === "/" && event.target === event.currentTarget)) {
      event.preventDefault();
      event.stopPropagation();
      field.current?.focus();
      field.current?.select();
    } else if (event.key === "n" || event.key === "N") {
      event.stopPropagation();
      search.step(event.key === "n" ? 1 : -1);
    }
  };

  const copy = (text: string, what: string) => {
    navigator.clipboard.writeText(text).then(
      () => setSaid(`${what} copied.`),
      () => setSaid("The browser does not allow copying here."),
    );
  };

  const { progress } = source;
  const loading = progress === "loading" && store.bytes < source.expected;
  return (
    <div className="min-w-0 overflow-hidden rounded-lg border border-line bg-panel">
      <div className="flex flex-wrap items-center justify-between gap-x-3 gap-y-1 border-b border-line px-2 py-1">
        <SearchBar
          ref={field}
          query={search.query}
          searching={search.searching}
          current={search.at}
          onQuery={search.ask}
          onStep={search.step}
          onLeave={() => view.current?.focus()}
        />
        <Tools
          times={times}
          wrap={wrap}
          follow={follow}
          groups={store.groups.length > 0}
          folded={layout.foldedCount > 0}
          selection={arrived}
          copies={store.bytes <= mostCopied}
          onTimes={(value) => {
            remembered.set("times", value);
            setTimes(value);
          }}
          onWrap={() => {
            remembered.set("wrap", wrap ? "off" : "on");
            setWrap(!wrap);
          }}
          onFollow={() => setFollow(!follow)}
          onFoldAll={(folded) => {
            layout.fold(store.groups, folded);
            redraw();
          }}
          onGo={(line, extend) => {
            const there = Math.min(line, Math.max(0, store.lines - 1));
            onSelect(there, extend);
            show(there);
          }}
          onCopy={() => {
            const { first, last } = arrived && selected ? selected : { first: 0, last: store.lines - 1 };
            const lines: string[] = [];
            for (let line = first; line <= Math.min(last, store.lines - 1); line++) lines.push(store.text(line));
            copy(lines.join("\n"), lines.length === 1 ? "One line" : `${lines.length.toLocaleString("en")} lines`);
          }}
          onLink={() => copy(window.location.href, "Link")}
          onDownload={() =>
            void download(source.url, `${jobId}-${attempt}.log`).catch((error) =>
              toast.bad("The log could not be downloaded", error),
            )
          }
        />
      </div>
      {progress === "failed" && (
        <div className="p-3">
          <ErrorBox error={source.problem} retry={() => source.again()} />
        </div>
      )}
      {store.lines === 0 ? (
        progress !== "failed" && <Nothing progress={progress} live={live} />
      ) : (
        <LogViewport
          ref={view}
          store={store}
          layout={layout}
          label={`Log of attempt ${attempt}`}
          times={times}
          wrap={wrap}
          follow={follow}
          selected={selected}
          current={search.line}
          searching={search.searching}
          begin={selected?.first ?? left.get(source.url)?.line ?? 0}
          onFollow={setFollow}
          onSelect={onSelect}
          onFold={onFold}
          onKeyDown={onKeyDown}
        />
      )}
      <div className="flex flex-wrap justify-between gap-x-4 border-t border-line px-3 py-1 text-xs text-soft">
        <span>
          {store.lines.toLocaleString("en")} {store.lines === 1 ? "line" : "lines"}, {bytes(store.bytes)}
          {loading && ` of ${bytes(source.expected)}`}
        </span>
        <span role="status">
          {said !== "" && <span className="mr-3">{said}</span>}
          {progress === "reconnecting"
            ? "Connection lost; going on where it was…"
            : loading
              ? "Loading…"
              : progress === "live"
                ? "Live"
                : ""}
        </span>
      </div>
    </div>
  );
}

function Nothing({ progress, live }: { progress: string; live: boolean }) {
  if (progress === "ended") return <Empty title="No output">The attempt wrote nothing.</Empty>;
  if (live) return <Empty title="No output yet">What the attempt writes appears here at once.</Empty>;
  return <Empty title="Loading…" />;
}

/** The lines that the page's address names. */
function useAddress(task: string, attempt: number) {
  const hash = useLocation({ select: (location) => location.hash });
  const navigate = useNavigate({ from: "/jobs/$id" });
  const selected = useMemo(() => {
    const named = fromHash(hash);
    return named?.attempt === attempt ? { first: named.first, last: named.last } : undefined;
  }, [hash, attempt]);
  const latest = useRef(selected);
  latest.current = selected;
  return useMemo(
    () => ({
      selected,
      current: () => latest.current,
      select: (range: Range | undefined) =>
        void navigate({
          to: ".",
          // The lines are of this attempt, also when there are later ones.
          search: (before) => (range === undefined ? before : { ...before, task, attempt, tab: "log" }),
          hash: range === undefined ? "" : toHash(attempt, range),
          replace: true,
          resetScroll: false,
          hashScrollIntoView: false,
        }),
    }),
    [selected, navigate, task, attempt],
  );
}

/** What is selected after a click: the line, nothing when it was the only one, or all from the first one to it. */
function selectedBy(before: Range | undefined, line: number, extend: boolean): Range | undefined {
  if (extend && before) return { first: Math.min(before.first, line), last: Math.max(before.first, line) };
  return before?.first === line && before.last === line ? undefined : { first: line, last: line };
}

/** The search: its words, where it is, and how to go on. */
function useSearch(source: LogSource, version: number, view: React.RefObject<Viewport | null>, onJump: () => void) {
  const [query, ask] = useState<Query>({ text: "", regex: false, matchCase: false });
  const [searching, setSearching] = useState<Searching>();
  const [line, setLine] = useState<number>();
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const jump = useRef(onJump);
  jump.current = onJump;

  useEffect(() => {
    setLine(undefined);
    if (query.text === "") return setSearching(undefined);
    let search: Searching | undefined;
    let sought = false;
    // Each letter would be a search of its own otherwise.
    const timer = setTimeout(() => {
      const top = view.current?.top() ?? 0;
      search = new Searching(source.store, query, () => {
        if (!sought && search && search.lines.length > 0) {
          // The first one from where the reader is; the search goes on from the top until there is one.
          const at = search.lines.lastUpTo(top - 1) + 1;
          if (at < search.lines.length || search.done) {
            sought = true;
            const found = search.lines.get(at < search.lines.length ? at : 0);
            setLine(found);
            jump.current();
            view.current?.show(found);
          }
        }
        redraw();
      });
      setSearching(search);
    }, 150);
    return () => {
      clearTimeout(timer);
      search?.stop();
    };
  }, [query, source, view]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new version has new lines
  useEffect(() => searching?.more(), [searching, version]);

  const at = searching === undefined || line === undefined ? undefined : searching.lines.lastUpTo(line);
  const step = (by: 1 | -1) => {
    const count = searching?.lines.length ?? 0;
    if (searching === undefined || count === 0) return;
    const next = at === undefined ? 0 : (at + by + count) % count;
    const found = searching.lines.get(next);
    setLine(found);
    onJump();
    view.current?.show(found);
  };
  return { query, ask, searching, line, at, step };
}
