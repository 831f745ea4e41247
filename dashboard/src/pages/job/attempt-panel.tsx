import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { GitCompareArrows, RotateCcw, SquareTerminal } from "lucide-react";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { useMay } from "../../app/caller";
import { LogView } from "../../log";
import { cn } from "../../ui/cn";
import { Busy, Button, Empty, ErrorBox, input, Loaded } from "../../ui/kit";
import { StateBadge } from "../../ui/state";
import { Took } from "../../ui/time";
import { AgentTab } from "./agent-tab";
import { AllChildren } from "./children";
import { CommandTab } from "./command-tab";
import { looksLikeDiff } from "./diff";
import { FilesTab } from "./files-tab";
import { Items } from "./items";
import {
  type Attempt,
  attemptName,
  hasTerminal,
  isOver,
  type Job,
  type JobSearch,
  merged,
  resultWord,
  type SearchChange,
  type Tab,
  type Task,
} from "./job";
import { Plain, Preview } from "./preview";
import { attemptsQuery, sourcesQuery } from "./requests";
import { type TabChoice, Tabs } from "./tabs";

const Compare = lazy(() => import("./compare"));

/** Everything about one attempt of a task. */
export function AttemptPanel({
  job,
  task,
  search,
  notes,
  onSearch,
  onRerun,
}: {
  job: Job;
  task: Task;
  search: JobSearch;
  notes: string[];
  onSearch: (change: SearchChange) => void;
  onRerun: () => void;
}) {
  const may = useMay();
  const { attempts, older } = useAttempts(job, task, [search.attempt, search.compare]);
  // What the address names is shown, or why it cannot be: never another attempt in its place.
  const attempt =
    search.attempt === undefined ? attempts.at(-1) : attempts.find((each) => each.number === search.attempt);
  const other = attempts.find((each) => each.number === search.compare && each !== attempt);

  return (
    <section
      aria-label={`Task ${task.task_type}`}
      className="flex min-h-0 min-w-0 flex-col rounded-lg border border-line bg-panel"
    >
      <header className="flex flex-wrap items-center gap-x-3 gap-y-1.5 border-b border-line px-4 py-2">
        <h2 className="min-w-0 text-base font-semibold break-all">{task.task_type}</h2>
        <StateBadge state={task.state} />
        <span className="min-w-0 flex-1 truncate text-xs text-soft">{notes.join(" · ")}</span>
        {may("operator") && isOver(job.state) && job.state !== "SKIPPED" && !task.adopted_from && (
          <Button onClick={onRerun}>
            <RotateCcw aria-hidden size={14} /> Rerun from here…
          </Button>
        )}
      </header>
      {attempt === undefined ? (
        search.attempt === undefined ? (
          <NoAttempt job={job} task={task} />
        ) : (
          <Absent
            number={search.attempt}
            older={older}
            onLatest={() => onSearch({ attempt: undefined, compare: undefined, file: undefined })}
          />
        )
      ) : (
        <>
          <div className="flex flex-wrap items-center gap-x-3 gap-y-1.5 px-4 py-2 text-soft">
            {attempts.length > 1 ? (
              <Choice
                attempts={attempts}
                value={attempt.number}
                onChange={(number) => onSearch({ attempt: number, compare: undefined, file: undefined })}
              />
            ) : (
              <span>Attempt {attempt.number}</span>
            )}
            {older.fetch && (
              <Button look="quiet" disabled={older.busy} onClick={older.fetch}>
                {older.busy ? "Loading…" : "Older attempts"}
              </Button>
            )}
            <Line attempt={attempt} />
            <Made job={job} task={task} attempt={attempt} />
            {hasTerminal(attempt) && (
              <Link
                to="/jobs/$id/attempts/$number/terminal"
                params={{ id: job.job_id, number: String(attempt.number) }}
                className="inline-flex items-center gap-1 text-accent underline"
              >
                <SquareTerminal aria-hidden size={14} /> Terminal
              </Link>
            )}
            {attempts.length > 1 && (
              <label className="ml-auto inline-flex items-center gap-1.5">
                <GitCompareArrows aria-hidden size={14} />
                <span className="sr-only">Compare with</span>
                <select
                  className={cn(input, "max-w-44")}
                  value={other?.number ?? ""}
                  onChange={(event) =>
                    onSearch({ compare: event.target.value === "" ? undefined : Number(event.target.value) })
                  }
                >
                  <option value="">Compare with…</option>
                  {attempts
                    .filter((each) => each !== attempt)
                    .map((each) => (
                      <option key={each.number} value={each.number}>
                        {nameOf(each)}
                      </option>
                    ))}
                </select>
              </label>
            )}
          </div>
          {older.failed && (
            <div className="px-4 pb-2">
              <ErrorBox {...older.failed} />
            </div>
          )}
          {attempt.error && (
            <p className="border-t border-line bg-bad-soft px-4 py-2 break-words text-bad">
              {attempt.error.message} <code className="text-xs">{attempt.error.code}</code>
            </p>
          )}
          {attempt.warnings.length > 0 && (
            <details className="border-t border-line px-4 py-1.5 text-ask">
              <summary className="min-h-target cursor-pointer">
                {attempt.warnings.length} {attempt.warnings.length === 1 ? "warning" : "warnings"}
              </summary>
              <ul className="list-disc pb-1 pl-5 text-text">
                {attempt.warnings.map((warning) => (
                  <li key={warning} className="break-words">
                    {warning}
                  </li>
                ))}
              </ul>
            </details>
          )}
          {other ? (
            <Suspense fallback={<Busy />}>
              <Compare
                jobId={job.job_id}
                left={other}
                right={attempt}
                onClose={() => onSearch({ compare: undefined })}
              />
            </Suspense>
          ) : (
            <Shown key={attempt.number} {...{ job, task, attempt, search, onSearch }} />
          )}
        </>
      )}
    </section>
  );
}

/** Attempts before those that come with the job. */
interface Older {
  /** Whether some are being fetched that are wanted. */
  busy: boolean;
  /** Why they could not be fetched, and how that is tried again. */
  failed: { error: unknown; retry: () => void } | undefined;
  /** Fetches some; undefined when all are known. */
  fetch: (() => void) | undefined;
}

/** The attempts of a task: those that come with the job, and older ones when one of them is wanted. */
function useAttempts(
  job: Job,
  task: Task,
  wanted: readonly (number | undefined)[],
): { attempts: Attempt[]; older: Older } {
  const listed = task.attempt_list ?? [];
  const [asked, setAsked] = useState(false);
  const lacks = (among: readonly Attempt[]) =>
    wanted.some((number) => number !== undefined && !among.some((each) => each.number === number));
  const rest = task.attempts > listed.length;
  const enabled = rest && (asked || lacks(listed));
  const query = useInfiniteQuery({ ...attemptsQuery(job.job_id, task.task_type), enabled });
  const { data, error, isError, isFetching, isPending, hasNextPage, fetchNextPage } = query;
  const fetched = enabled && data !== undefined ? data.pages.flatMap((page) => page.items) : [];
  const known = merged(listed, fetched);
  // As far back as the oldest that is wanted.
  const lowest = fetched.at(-1)?.number ?? 0;
  const sought =
    enabled && hasNextPage && lacks(known) && wanted.some((number) => number !== undefined && number < lowest);
  useEffect(() => {
    if (sought && !isFetching && !isError) void fetchNextPage();
  }, [sought, isFetching, isError, fetchNextPage]);
  // One that is shown stays while it is being fetched because so many later ones have come.
  const shown = useRef<readonly Attempt[]>([]);
  const attempts = merged(known, shown.current);
  shown.current = attempts.filter((each) => wanted.includes(each.number));

  const retry = () => void (query.isFetchNextPageError ? fetchNextPage() : query.refetch());
  const more = () => {
    if (enabled) void fetchNextPage();
    else setAsked(true);
  };
  return {
    attempts,
    older: {
      busy: enabled && !isError && (isPending || query.isFetchingNextPage || sought || (isFetching && lacks(known))),
      failed: enabled && isError ? { error, retry } : undefined,
      fetch: rest && (!enabled || data === undefined || hasNextPage) ? more : undefined,
    },
  };
}

/** Said in the place of an attempt that the address names, and that is not known. */
function Absent({ number, older, onLatest }: { number: number; older: Older; onLatest: () => void }) {
  if (older.busy) return <Busy label={`Loading attempt ${number}`} />;
  return (
    <div className="p-4">
      {older.failed ? (
        <ErrorBox {...older.failed} />
      ) : (
        <Empty title={`There is no attempt ${number} here`}>
          <Button onClick={onLatest}>Show the latest</Button>
        </Empty>
      )}
    </div>
  );
}

const nameOf = (attempt: Attempt) =>
  [`#${attempt.number}`, attemptName(attempt), resultWord(attempt)].filter(Boolean).join(" · ");

function Choice({
  attempts,
  value,
  onChange,
}: {
  attempts: Attempt[];
  value: number;
  onChange: (number: number) => void;
}) {
  return (
    <select
      aria-label="Attempt"
      className={cn(input, "max-w-72")}
      value={value}
      onChange={(event) => onChange(Number(event.target.value))}
    >
      {attempts.map((each) => (
        <option key={each.number} value={each.number}>
          {nameOf(each)}
        </option>
      ))}
    </select>
  );
}

function Line({ attempt }: { attempt: Attempt }) {
  const word = resultWord(attempt);
  return (
    <>
      {attempt.state === "FINISHED" ? <span>{word}</span> : <StateBadge state={attempt.state} />}
      {attempt.reason && <span className="break-words">{attempt.reason}</span>}
      {attempt.started_at ? (
        <span>
          {attempt.state === "FINISHED" ? "ran" : attempt.state === "WAITING" ? "for" : "runs for"}{" "}
          <Took from={attempt.started_at} until={attempt.finished_at} className="text-text" />
        </span>
      ) : (
        attempt.state !== "FINISHED" && (
          <span>
            waits for <Took from={attempt.created_at} className="text-text" />
          </span>
        )
      )}
      {attempt.ant && <span>on {attempt.ant}</span>}
    </>
  );
}

/** The jobs that the attempt has made. */
function Made({ job, task, attempt }: { job: Job; task: Task; attempt: Attempt }) {
  const ofTask = (job.children ?? []).filter((child) => child.task === task.task_type);
  const made = ofTask.filter((child) => child.attempt === attempt.number);
  // Those that do not stand with the job may be of this attempt too.
  const cut = (task.forked?.total ?? 0) > ofTask.length;
  if (made.length === 0 && !cut) return null;
  return (
    <span className="flex flex-wrap items-center gap-x-2">
      {made.slice(0, 4).map((child) => (
        <Link
          key={child.job_id}
          to="/jobs/$id"
          params={{ id: child.job_id }}
          className="inline-flex min-h-target items-center gap-1.5 text-accent underline underline-offset-2"
        >
          {child.relation} {child.job_type}
          <StateBadge state={child.state} />
        </Link>
      ))}
      {(made.length > 4 || cut) && <AllChildren job={job} />}
    </span>
  );
}

function NoAttempt({ job, task }: { job: Job; task: Task }) {
  const why =
    task.skip_reason === "when"
      ? "Its condition is false, so it was skipped; what comes after it went on."
      : task.skip_reason === "upstream_failed"
        ? "Something that it depends on failed, so it was skipped."
        : task.skip_reason === "not_reached"
          ? "No route led to it, so it was skipped."
          : task.adopted_from
            ? "It was taken over, with its outputs and artifacts, from the job that this one runs again."
            : task.state === "COMPLETED"
              ? "There was nothing to do: no items."
              : "It has not begun: what leads to it has not ended.";
  return (
    <div className="p-4">
      <p className="mb-3 text-soft">{task.error?.message ?? why}</p>
      <Written job={job} task={task} />
    </div>
  );
}

/** The task as it is written in the definition. */
function Written({ job, task }: { job: Job; task: Task }) {
  const query = useQuery(sourcesQuery(job.job_type, job.version));
  return (
    <Loaded query={query}>
      {(sources) => {
        const source = sources.get(task.task_type);
        return source === undefined ? <p className="text-soft">Its text was not found.</p> : <Plain text={source} />;
      }}
    </Loaded>
  );
}

function Shown({
  job,
  task,
  attempt,
  search,
  onSearch,
}: {
  job: Job;
  task: Task;
  attempt: Attempt;
  search: JobSearch;
  onSearch: (change: SearchChange) => void;
}) {
  const patches = attempt.artifacts.filter((each) => looksLikeDiff(each.name));
  const outputs = Object.keys(attempt.outputs).length;
  const choices: TabChoice<Tab>[] = [];
  if (task.fan_out) choices.push({ name: "items", label: "Items", count: task.fan_out.total });
  if (attempt.agent) choices.push({ name: "agent", label: "Agent" });
  choices.push({ name: "log", label: "Log" });
  if (patches.length > 0) choices.push({ name: "diff", label: "Changes", count: patches.length });
  choices.push({ name: "files", label: "Files", count: attempt.artifacts.length });
  choices.push({ name: "outputs", label: "Outputs", count: outputs });
  choices.push({ name: "command", label: "Command" });
  choices.push({ name: "definition", label: "Definition" });
  const tab = choices.find((each) => each.name === search.tab)?.name ?? choices[0]?.name ?? "log";
  const patch =
    patches.find((each) => each.name === search.file) ?? patches.find((each) => each.size > 0) ?? patches[0];
  return (
    <Tabs
      label="What is shown of the attempt"
      choices={choices}
      value={tab}
      onChange={(name) => onSearch({ tab: name, file: undefined })}
      className="flex-1"
    >
      {tab === "log" && (
        <div className="h-[32rem] min-h-0 xl:h-auto xl:min-h-96 xl:flex-1">
          <LogView
            jobId={job.job_id}
            task={task.task_type}
            attempt={attempt.number}
            live={attempt.state !== "FINISHED"}
          />
        </div>
      )}
      {tab !== "log" && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
        <div className="min-h-0 flex-1 overflow-y-auto" tabIndex={0}>
          {tab === "agent" && attempt.agent && <AgentTab jobId={job.job_id} attempt={attempt} agent={attempt.agent} />}
          {tab === "diff" && patch && (
            <div className="flex flex-col gap-3 p-4">
              {patches.length > 1 && (
                <label className="flex items-center gap-2">
                  Patch
                  <select
                    className={input}
                    value={patch.name}
                    onChange={(event) => onSearch({ file: event.target.value })}
                  >
                    {patches.map((each) => (
                      <option key={each.name}>{each.name}</option>
                    ))}
                  </select>
                </label>
              )}
              <Preview jobId={job.job_id} attempt={attempt.number} file={patch} />
            </div>
          )}
          {tab === "files" && (
            <FilesTab
              jobId={job.job_id}
              attempt={attempt.number}
              files={attempt.artifacts}
              file={search.file}
              onFile={(file) => onSearch({ file })}
            />
          )}
          {tab === "outputs" &&
            (outputs === 0 ? (
              <Empty title="No outputs">
                A task gives values to later ones by writing <code>name=value</code> to the file{" "}
                <code>$ATTA_OUTPUT</code>.
              </Empty>
            ) : (
              <div className="p-4">
                <Plain text={JSON.stringify(attempt.outputs, null, 2)} />
              </div>
            ))}
          {tab === "command" && <CommandTab jobId={job.job_id} attempt={attempt} />}
          {tab === "definition" && (
            <div className="flex flex-col gap-3 p-4">
              <p className="text-soft">
                The task as it is written in this version: its script, environment and routes. Templates stand as they
                are; under Command it stands as it was given to the ant.
                {attempt.isolation && (
                  <>
                    {" "}
                    Its processes were contained by <code>{attempt.isolation}</code>.
                  </>
                )}
              </p>
              <Written job={job} task={task} />
            </div>
          )}
          {tab === "items" && (
            <Items jobId={job.job_id} task={task} onAttempt={(number) => onSearch({ attempt: number, tab: "log" })} />
          )}
        </div>
      )}
    </Tabs>
  );
}
