import { Link } from "@tanstack/react-router";
import type { Api } from "../../api/client";
import { Cell, count, Empty, Panel, Table } from "../../ui/kit";

/** Why jobs came to nothing. */
export function Reasons({ total }: { total: Api<"OutcomeFigures"> }) {
  const most = Math.max(...total.reasons.map((reason) => reason.jobs), 1);
  return (
    <Panel flush title="Not achieved because">
      {total.reasons.length === 0 ? (
        <Empty title="Nothing failed">No job failed, was turned down or was left to somebody.</Empty>
      ) : (
        <Table label="Why jobs came to nothing" head={["Reason", "Jobs"]}>
          {total.reasons.map(({ code, jobs }) => (
            <tr key={code}>
              <Cell className="w-full">
                <code className="text-xs break-all">{code}</code>
                <div aria-hidden className="mt-1 h-1 rounded-full bg-raised">
                  <div className="h-1 rounded-full bg-bad" style={{ width: `${(jobs / most) * 100}%` }} />
                </div>
              </Cell>
              <Cell className="tabular-nums">{count(jobs)}</Cell>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

/** Tasks that are tried again, and whether that changes anything. */
export function Flaky({ tasks }: { tasks: Api<"OutcomesResource">["flaky_tasks"] }) {
  return (
    <Panel flush title="Tried again most often">
      {tasks.length === 0 ? (
        <Empty title="No task was tried again">Retries are counted here, reschedules are not.</Empty>
      ) : (
        <Table label="Tasks that were tried again" head={["Task", "Retries", "In jobs", "Other result"]}>
          {tasks.map((task) => (
            <tr key={`${task.job_type} ${task.task_type}`} className="tabular-nums">
              <Cell className="w-full">
                <span className="font-medium break-all">{task.task_type}</span>
                <div className="text-xs break-all text-soft">
                  of{" "}
                  <Link to="/definitions/$type" params={{ type: task.job_type }} className="underline">
                    {task.job_type}
                  </Link>
                </div>
              </Cell>
              <Cell>{count(task.retries)}</Cell>
              <Cell>{count(task.jobs)}</Cell>
              <Cell>{count(task.changed)}</Cell>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}
