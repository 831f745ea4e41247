import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useLocation } from "@tanstack/react-router";
import { useCallback, useMemo, useRef, useState } from "react";
import { ApiError } from "../../api/client";
import { jobQuery } from "../../app/overview";
import { GraphView } from "../../graph";
import type { GraphModel } from "../../graph/model";
import { Busy, Empty, ErrorBox, Loaded, PageHeader } from "../../ui/kit";
import { ActionBar, ActionDialog, type Chosen } from "./actions";
import { AttemptPanel } from "./attempt-panel";
import { Changes } from "./changes";
import { Details } from "./details";
import { firstTask } from "./explain";
import { Header } from "./header";
import { childCount, type Job, type SearchChange, withLines } from "./job";
import { overlayOf } from "./overlay";
import { versionQuery } from "./requests";
import { Tabs } from "./tabs";
import { TasksView } from "./tasks-view";
import { TimelineView } from "./timeline-view";
import { Why } from "./why";

const route = getRouteApi("/jobs/$id");

export function JobPage() {
  const { id } = route.useParams();
  const query = useQuery(jobQuery(id));
  if (query.data === undefined && query.error instanceof ApiError && query.error.status === 404)
    return (
      <>
        <PageHeader title="No such job" />
        <Empty title="This job is not here">
          It may have been kept for as long as its definition says, or the address is not whole: <code>{id}</code>.
        </Empty>
      </>
    );
  return <Loaded query={query}>{(job) => <JobView key={job.job_id} job={job} />}</Loaded>;
}

function JobView({ job }: { job: Job }) {
  const hash = useLocation({ select: (location) => location.hash });
  const search = withLines(route.useSearch(), hash, job);
  // What the hash says is said by the rest of the address as soon as that changes.
  const named = useRef({ hash, job });
  named.current = { hash, job };
  const navigate = route.useNavigate();
  const onSearch = useCallback(
    (change: SearchChange) => {
      void navigate({
        search: (before) => {
          const shown = withLines(before, named.current.hash, named.current.job);
          const next: Record<string, unknown> = { ...shown, ...change };
          for (const [name, value] of Object.entries(next)) if (value === undefined) delete next[name];
          return next;
        },
        resetScroll: false,
      });
    },
    [navigate],
  );
  const version = useQuery(versionQuery(job.job_type, job.version));
  const drawn = version.data;
  const [chosen, setChosen] = useState<Chosen>();

  // What it shows at first stays, however the job goes on: nothing jumps under somebody who reads.
  const [first, setFirst] = useState(() => firstTask(job));
  if (first === undefined && job.tasks.length > 0) setFirst(firstTask(job));
  const name = search.task ?? first;
  const task = job.tasks.find((each) => each.task_type === name);
  const view = search.view ?? "graph";
  const choose = useCallback(
    (next: string, attempt?: number) =>
      onSearch({ task: next, attempt, compare: undefined, file: undefined, tab: undefined }),
    [onSearch],
  );

  // Without its definition a job is still a list of tasks, with the ways that were taken.
  const graph = useMemo<GraphModel | undefined>(
    () => drawn?.graph ?? (version.isError ? bare(job) : undefined),
    [drawn, version.isError, job],
  );
  const overlay = useMemo(() => (graph ? overlayOf(job, graph) : undefined), [job, graph]);
  const notes = drawn?.graph.nodes.find((node) => node.name === name)?.notes ?? [];

  return (
    <>
      <Header job={job} semver={drawn?.semver} />
      <Why job={job} onSearch={onSearch}>
        <ActionBar job={job} onChoose={setChosen} />
      </Why>
      <div className="grid gap-4 xl:h-[calc(100dvh-5rem)] xl:min-h-[40rem] xl:grid-cols-[minmax(0,1fr)_minmax(0,1.1fr)]">
        <section
          aria-label="The job"
          className="flex h-[34rem] min-h-0 min-w-0 flex-col rounded-lg border border-line bg-panel xl:h-auto"
        >
          <Tabs
            label="How the job is shown"
            choices={[
              { name: "graph", label: "Graph" },
              { name: "timeline", label: "Timeline" },
              { name: "tasks", label: "Tasks", count: job.tasks.length },
              { name: "changes", label: "Changes" },
              { name: "details", label: "Details", count: childCount(job) },
            ]}
            value={view}
            onChange={(next) => onSearch({ view: next })}
            className="flex-1"
          >
            {view === "graph" && (
              <div className="min-h-0 flex-1 overflow-hidden rounded-b-lg">
                {graph && overlay ? (
                  <GraphView
                    graph={graph}
                    overlay={overlay}
                    selected={name}
                    onSelect={(next) => job.tasks.some((each) => each.task_type === next) && choose(next)}
                    focus={name}
                    label={`Tasks of ${job.job_type} and the ways between them. The tab Tasks has the same as a list.`}
                  />
                ) : version.isError ? (
                  <ErrorBox error={version.error} />
                ) : (
                  <Busy label="Drawing" />
                )}
              </div>
            )}
            {view === "timeline" && (
              <TimelineView
                job={job}
                selected={search.attempt ?? task?.attempt_list?.at(-1)?.number}
                onSelect={choose}
              />
            )}
            {view === "tasks" && <TasksView job={job} graph={graph} selected={name} onSelect={choose} />}
            {(view === "changes" || view === "details") && (
              // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
              <div className="min-h-0 flex-1 overflow-y-auto" tabIndex={0}>
                {view === "changes" ? <Changes job={job} onSearch={onSearch} /> : <Details job={job} />}
              </div>
            )}
          </Tabs>
        </section>
        {task ? (
          <AttemptPanel
            key={task.task_type}
            job={job}
            task={task}
            search={search}
            notes={notes}
            onSearch={onSearch}
            onRerun={() => setChosen({ action: "rerun", from: task.task_type })}
          />
        ) : (
          <section className="rounded-lg border border-line bg-panel">
            <Empty title={name === undefined ? "No task yet" : `There is no task ${name}`}>
              Choose one on the left.
            </Empty>
          </section>
        )}
      </div>
      {chosen && <ActionDialog job={job} chosen={chosen} onClose={() => setChosen(undefined)} />}
    </>
  );
}

function bare(job: Job): GraphModel {
  const names = new Set(job.tasks.map((task) => task.task_type));
  return {
    nodes: job.tasks.map((task) => ({ name: task.task_type, kind: "task", notes: [] })),
    edges: job.tasks.flatMap((task) =>
      [...new Set((task.attempt_list ?? []).flatMap((each) => each.routed_from.map((from) => from.task)))]
        .filter((from) => names.has(from))
        .map((from) => ({ from, to: task.task_type, kind: "route" as const, label: "" })),
    ),
  };
}
