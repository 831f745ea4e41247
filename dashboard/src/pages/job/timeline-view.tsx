import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { cn } from "../../ui/cn";
import { Empty } from "../../ui/kit";
import { lookOf, type Tone } from "../../ui/state";
import { duration, useNow } from "../../ui/time";
import { attemptName, isOver, type Job, resultWord } from "./job";
import { type Bar, marks, timelineOf } from "./timeline";

const row = 30;

/** When each attempt was ready, ran, and ended. */
export function TimelineView({
  job,
  selected,
  onSelect,
}: {
  job: Job;
  selected: number | undefined;
  onSelect: (task: string, attempt: number) => void;
}) {
  const line = useMemo(() => timelineOf(job), [job]);
  const clock = useNow();
  const frame = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: line.bars.length,
    getScrollElement: () => frame.current,
    estimateSize: () => row,
    overscan: 12,
  });
  if (line.bars.length === 0)
    return <Empty title="No attempt yet">Here stands when each task waited for an ant, and when it ran.</Empty>;
  const until = isOver(job.state) ? line.until : Math.max(line.until, clock);
  const length = Math.max(1, until - line.from);
  const percent = (at: number) => `${Math.min(100, Math.max(0, (100 * (at - line.from)) / length))}%`;
  return (
    <div className="flex min-h-0 flex-1 flex-col text-xs">
      <div className="flex items-center gap-4 px-3 py-1.5 text-soft">
        <Key className="border border-strong" text="waited for an ant" />
        <Key className="bg-run" text="ran" />
        <span className="ml-auto">{duration(until - line.from)} in all</span>
      </div>
      <div className="flex h-6 border-b border-line px-3">
        <div className="w-40 shrink-0 max-sm:w-28" />
        <div className="relative mr-12 min-w-0 flex-1 text-soft">
          {marks(length, 5).map((at) => (
            <span
              key={at}
              className="absolute top-0 border-l border-line pl-1 whitespace-nowrap"
              style={{ left: percent(line.from + at) }}
            >
              {at === 0 ? "0" : duration(at)}
            </span>
          ))}
        </div>
      </div>
      <div ref={frame} className="min-h-0 flex-1 overflow-y-auto">
        <ol aria-label="Attempts in time" className="relative" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map(({ index, start }) => {
            const bar = line.bars[index];
            return (
              bar && (
                <li key={bar.attempt.number} className="absolute inset-x-0" style={{ top: start, height: row }}>
                  <Line
                    bar={bar}
                    job={job}
                    percent={percent}
                    until={until}
                    selected={bar.attempt.number === selected}
                    onSelect={() => onSelect(bar.task, bar.attempt.number)}
                  />
                </li>
              )
            );
          })}
        </ol>
      </div>
      {job.attempts_href && (
        <p className="border-t border-line px-3 py-1.5 text-soft">
          Of each task the latest 20 attempts are shown; the panel of a task lists all.
        </p>
      )}
    </div>
  );
}

function Key({ className, text }: { className: string; text: string }) {
  return (
    <span className="inline-flex items-center gap-1.5">
      <span aria-hidden className={cn("h-2.5 w-5 rounded-sm", className)} />
      {text}
    </span>
  );
}

const fills: Record<Tone, string> = { ok: "bg-ok", bad: "bg-bad", run: "bg-run", ask: "bg-ask", idle: "bg-idle" };

/** A failure is as bad as what came of it: in a completed job a route has dealt with it. */
function toneOf({ attempt }: Bar, job: Job): Tone {
  if (attempt.state !== "FINISHED") return lookOf(attempt.state).tone;
  if (attempt.exit_code === 0 || attempt.result === "COMPLETED" || attempt.result === "APPROVED") return "ok";
  if (attempt.result === "CANCELLED") return "idle";
  return attempt.result === "BLOCKED" || job.state === "COMPLETED" ? "ask" : "bad";
}

function Line({
  bar,
  job,
  percent,
  until,
  selected,
  onSelect,
}: {
  bar: Bar;
  job: Job;
  percent: (at: number) => string;
  until: number;
  selected: boolean;
  onSelect: () => void;
}) {
  const start = bar.start ?? bar.end ?? until;
  const end = bar.end ?? until;
  const which = attemptName(bar.attempt);
  const queued = duration(start - bar.ready);
  const ran = bar.start === undefined ? undefined : duration(end - bar.start);
  const said = `${bar.task}${which && ` (${which})`}: waited ${queued}${ran ? `, ran ${ran}` : ""}, ${resultWord(bar.attempt) || lookOf(bar.attempt.state).word}`;
  const width = (from: number, to: number) => `calc(${percent(to)} - ${percent(from)})`;
  return (
    <button
      type="button"
      aria-label={said}
      aria-current={selected}
      title={said}
      onClick={onSelect}
      className={cn(
        "flex h-full w-full items-center px-3 text-left hover:bg-raised focus-visible:-outline-offset-2",
        selected && "bg-accent-soft",
      )}
    >
      <span className="w-40 shrink-0 truncate pr-2 max-sm:w-28">
        {bar.task}
        {which && <span className="text-soft"> {which}</span>}
      </span>
      <span className="relative mr-12 h-3.5 min-w-0 flex-1">
        <span
          className="absolute inset-y-0.5 rounded-l-sm border border-r-0 border-strong"
          style={{ left: percent(bar.ready), width: width(bar.ready, start) }}
        />
        {bar.start !== undefined && (
          <span
            className={cn("absolute inset-y-0 min-w-0.5 rounded-sm", fills[toneOf(bar, job)])}
            style={{ left: percent(bar.start), width: width(bar.start, end) }}
          />
        )}
        <span
          className="absolute top-1/2 -translate-y-1/2 pl-1.5 whitespace-nowrap text-soft"
          style={{ left: percent(end) }}
        >
          {ran ?? queued}
        </span>
      </span>
    </button>
  );
}
