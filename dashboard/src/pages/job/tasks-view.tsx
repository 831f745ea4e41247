import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";
import type { GraphModel } from "../../graph/model";
import { cn } from "../../ui/cn";
import { Check } from "../../ui/field";
import { Empty, input } from "../../ui/kit";
import { StateBadge } from "../../ui/state";
import { Took } from "../../ui/time";
import { isOpen, type Job, type Task, waitsFor } from "./job";

/** The same as the picture says, as a list: tasks, how they stand, what led to them and where they lead. */
export function TasksView({
  job,
  graph,
  selected,
  onSelect,
}: {
  job: Job;
  graph: GraphModel | undefined;
  selected: string | undefined;
  onSelect: (task: string) => void;
}) {
  const [wanted, setWanted] = useState("");
  const [problems, setProblems] = useState(false);
  const tasks = useMemo(() => {
    const text = wanted.trim().toLowerCase();
    return job.tasks.filter(
      (task) => task.task_type.toLowerCase().includes(text) && (!problems || task.state === "FAILED" || isOpen(task)),
    );
  }, [job, wanted, problems]);
  const ways = useMemo(() => {
    const found = new Map<string, string[]>();
    for (const edge of graph?.edges ?? []) {
      const list = found.get(edge.from) ?? [];
      list.push(edge.label && edge.label !== "COMPLETED" ? `${edge.to} on ${edge.label}` : edge.to);
      found.set(edge.from, list);
    }
    return found;
  }, [graph]);
  const frame = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: tasks.length,
    getScrollElement: () => frame.current,
    estimateSize: () => 58,
    overscan: 10,
  });
  return (
    <div className="flex min-h-0 flex-1 flex-col">
      <div className="flex flex-wrap items-center gap-3 px-3 py-2">
        <input
          className={cn(input, "min-w-0 flex-1")}
          type="search"
          aria-label="Find a task"
          placeholder="Find a task"
          value={wanted}
          onChange={(event) => setWanted(event.target.value)}
        />
        <Check checked={problems} onChange={setProblems}>
          Open or failed
        </Check>
        <span className="text-xs text-soft" aria-live="polite">
          {tasks.length} of {job.tasks.length}
        </span>
      </div>
      {tasks.length === 0 && <Empty title="No task is like that" />}
      <div ref={frame} className="min-h-0 flex-1 overflow-y-auto">
        <ul aria-label="Tasks" className="relative" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map(({ index, start, size }) => {
            const task = tasks[index];
            return (
              task && (
                <li key={task.task_type} className="absolute inset-x-0" style={{ top: start, height: size }}>
                  <Row
                    task={task}
                    ways={ways.get(task.task_type) ?? []}
                    selected={task.task_type === selected}
                    onSelect={() => onSelect(task.task_type)}
                  />
                </li>
              )
            );
          })}
        </ul>
      </div>
    </div>
  );
}

function Row({
  task,
  ways,
  selected,
  onSelect,
}: {
  task: Task;
  ways: string[];
  selected: boolean;
  onSelect: () => void;
}) {
  const from = task.attempt_list?.at(-1)?.routed_from.map((each) => each.task) ?? [];
  const facts: string[] = [];
  const waits = waitsFor(task);
  if (waits !== undefined) facts.push(waits);
  if (task.visits > 1) facts.push(`${task.visits} visits`);
  if (task.attempts > task.visits) facts.push(`${task.attempts} attempts`);
  if (task.fan_out) facts.push(`${task.fan_out.counts.COMPLETED ?? 0} of ${task.fan_out.total} items completed`);
  if (from.length > 0) facts.push(`from ${from.join(", ")}`);
  if (task.route) facts.push(`led to ${task.route}`);
  else if (task.state === "PENDING" && ways.length > 0) facts.push(`may lead to ${ways.join(", ")}`);
  if (task.adopted_from) facts.push("taken over from another job");
  return (
    <button
      type="button"
      aria-current={selected}
      onClick={onSelect}
      className={cn(
        "flex h-full w-full flex-col justify-center gap-0.5 border-t border-line px-3 text-left hover:bg-raised focus-visible:-outline-offset-2",
        selected && "bg-accent-soft",
      )}
    >
      <span className="flex items-center gap-2">
        <span className="min-w-0 flex-1 truncate font-medium">{task.task_type}</span>
        {task.started_at && (
          <Took
            className="text-xs text-soft"
            from={task.started_at}
            until={isOpen(task) ? undefined : task.finished_at}
          />
        )}
        <StateBadge state={task.state} />
      </span>
      <span className="truncate text-xs text-soft">
        {task.error ? <span className="text-bad">{task.error.message}</span> : facts.join(" · ") || "–"}
      </span>
    </button>
  );
}
