import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Bookmark, Search, X } from "lucide-react";
import { useEffect, useId, useRef, useState } from "react";
import { type Api, api, data } from "../../api/client";
import { counted, definitions, useDefinitionNames } from "../../app/overview";
import { cn } from "../../ui/cn";
import { ask } from "../../ui/confirm";
import { input } from "../../ui/kit";
import { Shared, useShared } from "../../ui/shared";
import { lookOf } from "../../ui/state";
import {
  changed,
  instantOf,
  type JobsSearch,
  labelsOf,
  local,
  type Period,
  queryOf,
  readViews,
  same,
  states,
  statesOf,
  type View,
  views,
} from "./search";

type Change = (change: { [K in keyof JobsSearch]?: JobsSearch[K] | undefined }) => void;

/** Which jobs are shown. Everything is in the address, so that it can be shared and gone back to. */
export function Filters({
  search,
  onChange,
  field,
}: {
  search: JobsSearch;
  onChange: Change;
  field: React.RefObject<HTMLInputElement | null>;
}) {
  const labels = labelsOf(search);
  return (
    <div className="mb-3 flex flex-col gap-2">
      <Views search={search} />
      <div className="flex flex-wrap items-center gap-2">
        <TextFilter text={search.text ?? ""} onChange={(text) => onChange({ text })} field={field} />
        <LabelFilter onAdd={(label) => onChange({ label: [...labels, label] })} />
        <DefinitionFilter type={search.type} onChange={(type) => onChange({ type })} />
        <TimeFilter search={search} onChange={onChange} />
      </div>
      <StateFilter search={search} onChange={(state) => onChange({ state })} />
      {(search.parent || search.key || labels.length > 0) && (
        <div className="flex flex-wrap gap-2">
          {search.parent && (
            <Chip label={`Made by ${search.parent}`} onRemove={() => onChange({ parent: undefined })} />
          )}
          {search.key && <Chip label={`Key ${search.key}`} onRemove={() => onChange({ key: undefined })} />}
          {labels.map((label) => (
            <Chip
              key={label}
              label={`Label ${label}`}
              onRemove={() => onChange({ label: labels.filter((each) => each !== label) })}
            />
          ))}
        </div>
      )}
    </div>
  );
}

function TextFilter({
  text,
  onChange,
  field,
}: {
  text: string;
  onChange: (text: string | undefined) => void;
  field: React.RefObject<HTMLInputElement | null>;
}) {
  const [value, setValue] = useState(text);
  // The address may change by itself: back, or another view.
  const [known, setKnown] = useState(text);
  if (known !== text) {
    setKnown(text);
    setValue(text);
  }
  const latest = useRef(onChange);
  useEffect(() => {
    latest.current = onChange;
  });
  useEffect(() => {
    if (value === text) return;
    const timer = setTimeout(() => latest.current(value), 250);
    return () => clearTimeout(timer);
  }, [value, text]);
  return (
    <label className="relative min-w-0 flex-1 basis-60">
      <span className="sr-only">Search in id, definition, key, description and reason</span>
      <Search
        aria-hidden
        size={14}
        className="pointer-events-none absolute top-1/2 left-2.5 -translate-y-1/2 text-soft"
      />
      <input
        ref={field}
        type="search"
        className={cn(input, "w-full pl-8")}
        placeholder="Id, definition, key, description, reason"
        maxLength={300}
        value={value}
        onChange={(event) => setValue(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
    </label>
  );
}

/** Takes a label; those of definitions are suggested. */
function LabelFilter({ onAdd }: { onAdd: (label: string) => void }) {
  const known = useQuery(definitions).data ?? [];
  const [text, setText] = useState("");
  const id = useId();
  const suggested = new Set(
    known.flatMap(({ labels = {} }) => Object.entries(labels).flatMap(([name, value]) => [`${name}:${value}`, name])),
  );
  const add = (label: string) => {
    if (label.trim() === "") return;
    onAdd(label.trim());
    setText("");
  };
  return (
    <form
      className="min-w-0 basis-52"
      onSubmit={(event) => {
        event.preventDefault();
        add(text);
      }}
    >
      <input
        aria-label="Label, such as team:core; Enter adds it"
        placeholder="Label, such as team:core"
        list={id}
        maxLength={300}
        autoComplete="off"
        className={cn(input, "w-full")}
        value={text}
        onChange={(event) => {
          // Chosen from the list, it is whole.
          const chosen = event.target.value;
          if (!(event.nativeEvent instanceof InputEvent) && suggested.has(chosen)) add(chosen);
          else setText(chosen);
        }}
      />
      <datalist id={id}>
        {[...suggested].sort().map((label) => (
          <option key={label} value={label} />
        ))}
      </datalist>
    </form>
  );
}

function DefinitionFilter({
  type,
  onChange,
}: {
  type: string | undefined;
  onChange: (type: string | undefined) => void;
}) {
  const names = useDefinitionNames(type ?? "");
  return (
    <select
      aria-label="Definition"
      className={cn(input, "max-w-52 min-w-0")}
      value={type ?? ""}
      onChange={(event) => onChange(event.target.value || undefined)}
    >
      <option value="">Every definition</option>
      {names.map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}

const periodNames: Record<Period, string> = {
  "1h": "Last hour",
  "24h": "Last 24 hours",
  "7d": "Last 7 days",
  "30d": "Last 30 days",
};

function TimeFilter({ search, onChange }: { search: JobsSearch; onChange: Change }) {
  const [open, setOpen] = useState(false);
  const between = open || search.after !== undefined || search.before !== undefined;
  return (
    <>
      <select
        aria-label="When they were submitted"
        className={input}
        value={search.since ?? (between ? "between" : "")}
        onChange={(event) => {
          const value = event.target.value;
          setOpen(value === "between");
          if (value === "between") onChange({ since: undefined });
          else onChange({ since: (value || undefined) as Period | undefined, after: undefined, before: undefined });
        }}
      >
        <option value="">Any time</option>
        {Object.entries(periodNames).map(([period, name]) => (
          <option key={period} value={period}>
            {name}
          </option>
        ))}
        <option value="between">Between…</option>
      </select>
      {between && !search.since && (
        <span className="flex flex-wrap items-center gap-1.5 text-soft">
          <input
            type="datetime-local"
            aria-label="Submitted at or after"
            className={input}
            value={local(search.after)}
            onChange={(event) => onChange({ after: instantOf(event.target.value) })}
          />
          and
          <input
            type="datetime-local"
            aria-label="Submitted before"
            className={input}
            value={local(search.before)}
            onChange={(event) => onChange({ before: instantOf(event.target.value) })}
          />
        </span>
      )}
    </>
  );
}

function StateFilter({ search, onChange }: { search: JobsSearch; onChange: (state: string | undefined) => void }) {
  const chosen = statesOf(search);
  const counts = useCounts(search);
  return (
    <fieldset className="flex flex-wrap gap-1.5">
      <legend className="sr-only">States</legend>
      {states.map((state) => {
        const { icon: Icon, word } = lookOf(state);
        const on = chosen.includes(state);
        const many = counts && counted(counts, state);
        return (
          <button
            key={state}
            type="button"
            aria-pressed={on}
            {...(many && { title: `${word}: ${many}` })}
            className={cn(
              "inline-flex min-h-7 items-center gap-1 rounded-full border px-2.5 text-xs",
              on
                ? "border-accent bg-accent-soft font-medium text-accent"
                : "border-line bg-panel text-soft hover:bg-raised",
            )}
            onClick={() => onChange((on ? chosen.filter((each) => each !== state) : [...chosen, state]).join(","))}
          >
            <Icon aria-hidden size={13} />
            {word}
            {many && many !== "0" && (
              <span aria-hidden className="tabular-nums">
                {many}
              </span>
            )}
          </button>
        );
      })}
    </fieldset>
  );
}

/** How many jobs there are in each state, of those that the rest of the search is about. */
function useCounts(search: JobsSearch): Api<"JobCounts"> | undefined {
  const { state: _, ...rest } = search;
  const key = JSON.stringify(rest);
  // Its own "now" for a period, as the list has; without one what was asked for before is shown at once.
  const [began, setBegan] = useState({ key, at: Date.now() });
  if (began.key !== key) setBegan({ key, at: Date.now() });
  const query = useQuery({
    queryKey: ["jobs", "counts", rest, rest.since && began.at],
    queryFn: () => data(api.GET("/api/v1/jobs/counts", { params: { query: queryOf(rest, began.at) } })),
    placeholderData: keepPreviousData,
    gcTime: 60_000,
  });
  return query.data;
}

function Chip({ label, onRemove }: { label: string; onRemove: () => void }) {
  return (
    <span className="inline-flex min-w-0 items-center gap-1 rounded-full bg-accent-soft py-0.5 pr-1 pl-2.5 text-xs text-accent">
      <span className="truncate">{label}</span>
      <button
        type="button"
        aria-label={`Remove: ${label}`}
        className="rounded-full p-1 hover:bg-panel"
        onClick={onRemove}
      >
        <X aria-hidden size={14} />
      </button>
    </span>
  );
}

const key = "atta.views";
const saved = new Shared(readViews(localStorage.getItem(key)));

function save(next: View[]) {
  localStorage.setItem(key, JSON.stringify(next));
  saved.set(next);
}

/** Searches with names: those that everybody has, and those that somebody saved in this browser. */
function Views({ search }: { search: JobsSearch }) {
  const own = useShared(saved);
  const known = [...views, ...own].some((view) => same(view.search, search));
  const keep = async () => {
    const name = await ask({
      title: "Save this view",
      body: "It is kept in this browser, under this name. To share it, send the page's address.",
      action: "Save",
      keep: "Don't save",
      field: { label: "Name", required: true, placeholder: "Failed checks of the week" },
    });
    if (name) save([...saved.get().filter((view) => view.name !== name), { name: name.slice(0, 60), search }]);
  };
  return (
    <nav aria-label="Views" className="flex flex-wrap items-center gap-1 border-b border-line pb-2">
      {views.map((view) => (
        <ViewLink key={view.name} view={view} on={same(view.search, search)} />
      ))}
      {own.map((view) => (
        <span key={view.name} className="inline-flex items-center">
          <ViewLink view={view} on={same(view.search, search)} />
          <button
            type="button"
            aria-label={`Forget the view ${view.name}`}
            title="Forget this view"
            className="rounded-md p-1.5 text-soft hover:bg-raised hover:text-text"
            onClick={() => save(saved.get().filter((each) => each.name !== view.name))}
          >
            <X aria-hidden size={14} />
          </button>
        </span>
      ))}
      {!known && (
        <button
          type="button"
          className="inline-flex min-h-7 items-center gap-1 rounded-md px-2 text-accent hover:bg-raised"
          onClick={() => void keep()}
        >
          <Bookmark aria-hidden size={14} />
          Save this view…
        </button>
      )}
    </nav>
  );
}

function ViewLink({ view, on }: { view: View; on: boolean }) {
  return (
    <Link
      to="/jobs"
      search={changed(view.search, {})}
      aria-current={on ? "page" : undefined}
      className={cn(
        "inline-flex min-h-7 items-center rounded-md px-2",
        on ? "bg-accent-soft font-medium text-accent" : "text-soft hover:bg-raised hover:text-text",
      )}
    >
      {view.name}
    </Link>
  );
}
