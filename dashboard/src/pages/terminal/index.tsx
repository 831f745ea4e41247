import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import type { Api } from "../../api/client";
import { callerQuery } from "../../app/caller";
import { jobQuery } from "../../app/overview";
import { Empty, Loaded, PageHeader } from "../../ui/kit";
import { StateBadge } from "../../ui/state";
import { attemptsOf, hasTerminal, type Job } from "../job/job";
import { TerminalView } from "./view";

const route = getRouteApi("/jobs/$id/attempts/$number/terminal");

export function TerminalPage() {
  const { id, number } = route.useParams();
  const job = useQuery(jobQuery(id));
  const caller = useQuery(callerQuery);
  return (
    <Loaded query={job}>
      {(job) => (
        <Loaded query={caller}>
          {(caller) => <OfAttempt key={number} job={job} number={Number(number)} role={caller.role} />}
        </Loaded>
      )}
    </Loaded>
  );
}

function OfAttempt({ job, number, role }: { job: Job; number: number; role: Api<"Role"> }) {
  const found = attemptsOf(job).find(({ attempt }) => attempt.number === number);
  const link = (
    <Link
      to="/jobs/$id"
      params={{ id: job.job_id }}
      search={found ? { task: found.task.task_type, attempt: number } : {}}
      className="text-accent underline"
    >
      {job.job_type}
    </Link>
  );
  if (found === undefined || !hasTerminal(found.attempt)) {
    return (
      <>
        <PageHeader title="No terminal" lead={<>of the job {link}</>} />
        {found === undefined ? (
          <Empty title={`There is no attempt ${number}`}>It is none of the latest attempts of this job's tasks.</Empty>
        ) : (
          <Empty title={`The task ${found.task.task_type} has no terminal`}>
            Give it <code>tty: true</code> in its definition: then its commands run in a terminal that one can watch,
            and type into, from here.
          </Empty>
        )}
      </>
    );
  }
  const { task, attempt } = found;
  return (
    <div className="flex h-[calc(100dvh-8.5rem)] min-h-96 flex-col md:h-[calc(100dvh-2.5rem)]">
      <PageHeader
        title={`Terminal of ${task.task_type}`}
        lead={
          <span className="flex flex-wrap items-center gap-x-2">
            attempt {number} of the job {link} <StateBadge state={attempt.state} />
          </span>
        }
      />
      <TerminalView jobId={job.job_id} task={task.task_type} attempt={attempt} role={role} />
    </div>
  );
}
