import {
  ArrowDownToLine,
  ChevronDown,
  ChevronUp,
  Copy,
  Download,
  FoldVertical,
  Link2,
  Search,
  UnfoldVertical,
  WrapText,
} from "lucide-react";
import { useState } from "react";
import { cn } from "../ui/cn";
import { input } from "../ui/kit";
import type { Times } from "./line";
import type { Query } from "./search";
import type { Searching } from "./searching";

/** A button that is an icon; pressed or not, if it is a switch. */
export function Tool({
  label,
  pressed,
  className,
  ...rest
}: React.ComponentProps<"button"> & { label: string; pressed?: boolean }) {
  return (
    <button
      type="button"
      title={label}
      aria-label={label}
      {...(pressed === undefined ? {} : { "aria-pressed": pressed })}
      {...rest}
      className={cn(
        "inline-flex h-8 min-w-8 items-center justify-center gap-1 rounded-md px-1.5 text-xs font-medium disabled:opacity-50",
        pressed ? "bg-accent-soft text-accent" : "text-soft hover:bg-raised hover:text-text",
        className,
      )}
    />
  );
}

interface SearchProps {
  ref: React.Ref<HTMLInputElement>;
  query: Query;
  searching: Searching | undefined;
  /** Which of the lines found is the current one, from 0. */
  current: number | undefined;
  onQuery: (query: Query) => void;
  onStep: (by: 1 | -1) => void;
  onLeave: () => void;
}

/** Looks for a text or an expression. */
export function SearchBar({ ref, query, searching, current, onQuery, onStep, onLeave }: SearchProps) {
  const found = searching?.lines.length ?? 0;
  return (
    <search className="flex max-w-2xl min-w-0 flex-1 basis-96 items-center gap-1">
      <label className="relative min-w-20 flex-1">
        <span className="sr-only">Search the log</span>
        <Search aria-hidden size={14} className="absolute top-2.5 left-2 text-soft" />
        <input
          ref={ref}
          type="search"
          className={cn(input, "w-full pl-7", searching?.problem && "border-bad")}
          placeholder="Search"
          spellCheck={false}
          value={query.text}
          aria-invalid={searching?.problem !== undefined}
          onChange={(event) => onQuery({ ...query, text: event.target.value })}
          onKeyDown={(event) => {
            if (event.key === "Enter") {
              event.preventDefault();
              onStep(event.shiftKey ? -1 : 1);
            } else if (event.key === "Escape") {
              event.stopPropagation();
              if (query.text === "") onLeave();
              else onQuery({ ...query, text: "" });
            }
          }}
        />
      </label>
      <Tool
        label="Match upper and lower case"
        pressed={query.matchCase}
        onClick={() => onQuery({ ...query, matchCase: !query.matchCase })}
      >
        Aa
      </Tool>
      <Tool
        label="Regular expression"
        pressed={query.regex}
        onClick={() => onQuery({ ...query, regex: !query.regex })}
        className="font-mono"
      >
        .*
      </Tool>
      <Tool label="Previous match (Shift+Enter)" disabled={found === 0} onClick={() => onStep(-1)}>
        <ChevronUp aria-hidden size={16} />
      </Tool>
      <Tool label="Next match (Enter)" disabled={found === 0} onClick={() => onStep(1)}>
        <ChevronDown aria-hidden size={16} />
      </Tool>
      <span role="status" className={cn("min-w-0 truncate text-xs", searching?.problem ? "text-bad" : "text-soft")}>
        {searching && result(searching, current)}
      </span>
    </search>
  );
}

function result(searching: Searching, current: number | undefined): string {
  if (searching.problem !== undefined) return searching.problem;
  const lines = searching.lines.length;
  if (lines === 0) return searching.done ? "No match" : "Searching…";
  const number = (value: number) => value.toLocaleString("en");
  const place = current === undefined ? "" : `${number(current + 1)} of `;
  const matches = searching.count === lines ? "" : `, ${number(searching.count)} matches`;
  return `${place}${number(lines)} ${lines === 1 ? "line" : "lines"}${matches}${searching.done ? "" : "…"}`;
}

interface Props {
  times: Times;
  wrap: boolean;
  follow: boolean;
  groups: boolean;
  folded: boolean;
  selection: boolean;
  copies: boolean;
  onTimes: (times: Times) => void;
  onWrap: () => void;
  onFollow: () => void;
  onFoldAll: (folded: boolean) => void;
  /** Goes to a line and selects it, or all lines up to it from the one that is selected. */
  onGo: (line: number, extend: boolean) => void;
  onCopy: () => void;
  onLink: () => void;
  onDownload: () => void;
}

/** How the log is shown, and what can be done with it. */
export function Tools(props: Props) {
  const { times, wrap, follow, groups, folded, selection, copies } = props;
  return (
    <div className="flex flex-wrap items-center gap-1">
      <GoTo onGo={props.onGo} />
      <select
        aria-label="Times"
        className={cn(input, "w-26")}
        value={times}
        onChange={(event) => props.onTimes(event.target.value as Times)}
      >
        <option value="off">No times</option>
        <option value="clock">Clock</option>
        <option value="elapsed">Since start</option>
      </select>
      <Tool label="Wrap long lines" pressed={wrap} onClick={props.onWrap}>
        <WrapText aria-hidden size={16} />
      </Tool>
      {groups && (
        <Tool label={folded ? "Unfold all groups" : "Fold all groups"} onClick={() => props.onFoldAll(!folded)}>
          {folded ? <UnfoldVertical aria-hidden size={16} /> : <FoldVertical aria-hidden size={16} />}
        </Tool>
      )}
      <Tool
        label={selection ? "Copy the selected lines" : copies ? "Copy the log" : "Too long to copy: download it"}
        disabled={!selection && !copies}
        onClick={props.onCopy}
      >
        <Copy aria-hidden size={16} />
      </Tool>
      {selection && (
        <Tool label="Copy a link to the selected lines" onClick={props.onLink}>
          <Link2 aria-hidden size={16} />
        </Tool>
      )}
      <Tool label="Download the log" onClick={props.onDownload}>
        <Download aria-hidden size={16} />
      </Tool>
      <Tool label="Stay at the end" pressed={follow} onClick={props.onFollow}>
        <ArrowDownToLine aria-hidden size={16} />
        <span className="max-sm:sr-only">End</span>
      </Tool>
    </div>
  );
}

function GoTo({ onGo }: { onGo: Props["onGo"] }) {
  const [text, setText] = useState("");
  const go = (extend: boolean) => {
    if (/^[1-9]\d*$/.test(text)) onGo(Number(text) - 1, extend);
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        go(false);
      }}
    >
      <input
        aria-label="Go to line"
        title="Shift+Enter selects all lines up to this one"
        placeholder="Line"
        inputMode="numeric"
        className={cn(input, "w-14")}
        value={text}
        onChange={(event) => setText(event.target.value.replace(/\D/g, "").slice(0, 12))}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || !event.shiftKey) return;
          event.preventDefault();
          go(true);
        }}
      />
    </form>
  );
}
