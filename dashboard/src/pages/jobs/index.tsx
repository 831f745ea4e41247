import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { Ban, RotateCcw } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api, data } from "../../api/client";
import { jobActions } from "../../app/actions";
import { useMay } from "../../app/caller";
import { useKeys } from "../../app/keys";
import { cn } from "../../ui/cn";
import { confirm } from "../../ui/confirm";
import { Busy, Button, Empty, ErrorBox, PageHeader } from "../../ui/kit";
import { toast } from "../../ui/toast";
import { canCancel, canRetry, summary, withEach } from "./bulk";
import { Filters } from "./filters";
import { columns, Row } from "./row";
import { changed, type JobsSearch, queryOf, readSearch } from "./search";

const route = getRouteApi("/jobs");

export function JobsPage() {
  // The router leaves what no route has asked for in what it gives.
  const raw = route.useSearch();
  const search = useMemo(() => readSearch({ ...raw }), [raw]);
  const navigate = useNavigate({ from: "/jobs" });
  const field = useRef<HTMLInputElement>(null);
  const change = (what: { [K in keyof JobsSearch]?: JobsSearch[K] | undefined }) =>
    void navigate({ search: (before) => changed(before, what), replace: "text" in what });
  return (
    <>
      <PageHeader title="Jobs" />
      <Filters search={search} onChange={change} field={field} />
      {/* Another search begins anew: nothing selected, the first row, its own "now". */}
      <List key={JSON.stringify(search)} search={search} field={field} />
    </>
  );
}

function List({ search, field }: { search: JobsSearch; field: React.RefObject<HTMLInputElement | null> }) {
  const [began] = useState(Date.now);
  const query = useInfiniteQuery({
    // Without a period "now" says nothing: who comes back finds the list, and their place in it, as it was.
    queryKey: ["jobs", "list", search, search.since && began],
    queryFn: ({ pageParam }) =>
      data(
        api.GET("/api/v1/jobs", {
          params: { query: { ...queryOf(search, began), limit: 100, ...(pageParam && { cursor: pageParam }) } },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    gcTime: 60_000,
  });
  const jobs = useMemo(() => query.data?.pages.flatMap((page) => page.items) ?? [], [query.data]);
  // Selecting is for doing something with what is selected.
  const may = useMay()("operator");
  const [selection, setSelection] = useState<ReadonlySet<string>>(new Set());
  const [current, setCurrent] = useState<string>();
  const anchor = useRef<string>(undefined);
  const list = useRef<HTMLDivElement>(null);
  const wanted = useRef<string>(undefined);

  const rows = useWindowVirtualizer({
    count: jobs.length,
    estimateSize: () => 46,
    getItemKey: (index) => jobs[index]?.job_id ?? index,
    overscan: 12,
    scrollMargin: list.current?.offsetTop ?? 0,
  });
  const items = rows.getVirtualItems();
  const last = items.at(-1)?.index ?? -1;
  const { hasNextPage, isFetchingNextPage, fetchNextPage, isError } = query;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && !isError && last >= jobs.length - 20) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, isError, fetchNextPage, last, jobs.length]);

  // The keyboard moves the focus itself, so that screen readers go along.
  const goTo = (index: number) => {
    const job = jobs[Math.min(jobs.length - 1, Math.max(0, index))];
    if (job === undefined) return;
    wanted.current = job.job_id;
    setCurrent(job.job_id);
    rows.scrollToIndex(jobs.indexOf(job));
  };
  useEffect(() => {
    if (wanted.current === undefined) return;
    const link = list.current?.querySelector<HTMLElement>(`[data-job="${CSS.escape(wanted.current)}"]`);
    if (!link) return;
    wanted.current = undefined;
    link.focus({ preventScroll: true });
  });

  const select = useCallback(
    (id: string, range: boolean) => {
      const ids = jobs.map((job) => job.job_id);
      const from = anchor.current === undefined ? -1 : ids.indexOf(anchor.current);
      const to = ids.indexOf(id);
      setSelection((before) => {
        const next = new Set(before);
        if (range && from >= 0 && to >= 0) {
          for (const each of ids.slice(Math.min(from, to), Math.max(from, to) + 1)) next.add(each);
        } else if (!next.delete(id)) next.add(id);
        return next;
      });
      anchor.current = id;
    },
    [jobs],
  );
  const chosen = jobs.filter((job) => selection.has(job.job_id));
  const bulk = (what: "cancel" | "retry") => void askBulk(what, chosen, () => setSelection(new Set()));
  const at = jobs.findIndex((job) => job.job_id === current);

  useKeys("Jobs", [
    { keys: "j", label: "Next job", run: () => goTo(at + 1) },
    { keys: "k", label: "Job before", run: () => goTo(at < 0 ? 0 : at - 1) },
    {
      keys: "Enter",
      label: "Open the job",
      run: () => list.current?.querySelector<HTMLElement>(`[data-job="${CSS.escape(current ?? "")}"]`)?.click(),
    },
    ...(may
      ? [
          {
            keys: "x",
            label: "Select or leave out the job",
            run: () => current !== undefined && select(current, false),
          },
          { keys: "X", label: "Select up to this job", run: () => current !== undefined && select(current, true) },
          { keys: "c", label: "Cancel the selected jobs", run: () => chosen.length > 0 && bulk("cancel") },
          { keys: "r", label: "Try the selected jobs again", run: () => chosen.length > 0 && bulk("retry") },
          { keys: "Escape", label: "Select nothing", run: () => setSelection(new Set()) },
        ]
      : []),
    { keys: "/", label: "Search", run: () => field.current?.focus() },
  ]);

  if (query.isError && query.data === undefined)
    return <ErrorBox error={query.error} retry={() => void query.refetch()} />;
  if (query.data === undefined) return <Busy />;
  const all = jobs.length > 0 && chosen.length === jobs.length;
  return (
    <>
      <div className="rounded-lg border border-line bg-panel">
        <div
          className={cn(
            "flex items-center border-b border-line text-xs font-medium text-soft max-md:gap-2 max-md:px-3 max-md:py-1",
            columns(may),
            !may && "max-md:hidden",
          )}
        >
          {may && (
            <label className="flex size-8 items-center justify-center md:mx-auto">
              <span className="sr-only">Select all {jobs.length} that are shown</span>
              <input
                type="checkbox"
                className="size-4 accent-(--accent)"
                checked={all}
                ref={(box) => {
                  if (box) box.indeterminate = chosen.length > 0 && !all;
                }}
                onChange={() => setSelection(all ? new Set() : new Set(jobs.map((job) => job.job_id)))}
              />
            </label>
          )}
          <span className="max-md:hidden">State</span>
          <span className="max-md:hidden">Job</span>
          <span className="max-md:hidden">Submitted by</span>
          <span className="max-md:hidden">Submitted</span>
          <span className="pr-4 text-right max-md:hidden">Took</span>
          <span className="md:hidden">Select all that are shown</span>
        </div>
        {jobs.length === 0 ? (
          <NoJobs search={search} />
        ) : (
          <div ref={list} className="relative" style={{ height: rows.getTotalSize() }}>
            {items.map((item) => {
              const job = jobs[item.index];
              return (
                job && (
                  <div
                    key={item.key}
                    ref={rows.measureElement}
                    data-index={item.index}
                    className="absolute inset-x-0 top-0"
                    style={{ transform: `translateY(${item.start - rows.options.scrollMargin}px)` }}
                  >
                    <Row
                      job={job}
                      selected={selection.has(job.job_id)}
                      current={current === job.job_id}
                      onSelect={may ? select : undefined}
                      onFocus={setCurrent}
                    />
                  </div>
                )
              );
            })}
          </div>
        )}
      </div>
      <p role="status" className="mt-2 mb-16 text-xs text-soft">
        {jobs.length > 0 &&
          `${jobs.length} ${jobs.length === 1 ? "job" : "jobs"}${hasNextPage ? " so far, the newest first; more come as you scroll" : ", the newest first"}`}
        {isFetchingNextPage && " · loading more…"}
      </p>
      {isError && jobs.length > 0 && <ErrorBox error={query.error} retry={() => void fetchNextPage()} />}
      {chosen.length > 0 && (
        <section
          aria-label="Selected jobs"
          className="fixed inset-x-4 bottom-4 z-30 mx-auto flex w-fit max-w-[calc(100vw-2rem)] flex-wrap items-center gap-2 rounded-lg border border-line bg-panel px-4 py-2 shadow-lg"
        >
          <span className="font-medium tabular-nums">{chosen.length} selected</span>
          <Button disabled={!chosen.some(canRetry)} onClick={() => bulk("retry")}>
            <RotateCcw aria-hidden size={14} />
            Try again…
          </Button>
          <Button look="danger" disabled={!chosen.some(canCancel)} onClick={() => bulk("cancel")}>
            <Ban aria-hidden size={14} />
            Cancel…
          </Button>
          <Button look="quiet" onClick={() => setSelection(new Set())}>
            Select nothing
          </Button>
        </section>
      )}
    </>
  );
}

function NoJobs({ search }: { search: JobsSearch }) {
  return Object.keys(search).length === 0 ? (
    <Empty title="There are no jobs yet">
      Start one with <code>atta submit JOB_TYPE</code>, or on the page of a definition.
    </Empty>
  ) : (
    <Empty title="No job is like that">Take away a filter, or look at a longer time.</Empty>
  );
}

type Jobs = Parameters<typeof canCancel>[0][];

/** Asks, does it to all that it can be done to, and says in one message what came of it. */
async function askBulk(what: "cancel" | "retry", jobs: Jobs, done: () => void) {
  const able = jobs.filter(what === "cancel" ? canCancel : canRetry);
  const rest = jobs.length - able.length;
  const many = able.length === 1 ? "1 job" : `${able.length} jobs`;
  const left =
    rest > 0 &&
    (what === "cancel"
      ? ` ${rest} of those selected end already or have ended: left as they are.`
      : ` ${rest} of those selected did not fail: left as they are.`);
  if (able.length === 0) {
    toast.info(
      what === "cancel"
        ? "All of them end already or have ended."
        : "None of them has failed, been blocked or been cancelled.",
    );
    return;
  }
  const act = (reason: string) =>
    withEach(
      able.map((job) => job.job_id),
      (id) => (what === "cancel" ? jobActions.cancel(id, reason) : jobActions.retry(id)),
    );
  const run = async (reason: string) => {
    const result = await act(reason);
    const { text, detail } = summary(result, what === "cancel" ? "being cancelled" : "trying again");
    if (detail === undefined) toast.ok(text);
    else toast.bad(text, detail);
  };
  const agreed = await confirm(
    what === "cancel"
      ? {
          title: `Cancel ${many}?`,
          body: (
            <>
              Programs and agents that run are ended, what has not begun is skipped, and <code>always_run</code> tasks
              still run.{left}
            </>
          ),
          action: `Cancel ${many}`,
          keep: "Leave them",
          danger: true,
          field: { label: "Why", placeholder: "Others read this in the jobs' histories" },
          run,
        }
      : {
          title: `Try ${many} again?`,
          body: (
            <>
              Each begins another attempt under its id: tasks that completed are kept, those that failed run again.
              Agents that run again cost money again.{left}
            </>
          ),
          action: `Try ${many} again`,
          run,
        },
  );
  if (agreed) done();
}
