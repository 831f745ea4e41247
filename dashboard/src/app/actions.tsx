import { type Api, api, data } from "../api/client";
import { confirm } from "../ui/confirm";
import { person } from "./person";

type Job = Pick<Api<"JobSummary">, "job_id" | "job_type">;
const path = (id: string) => ({ params: { path: { id } } });

/** What one can do with a job from a list. Each gives the server's answer, or throws its problem. */
export const jobActions = {
  cancel: (id: string, reason = "") =>
    data(api.POST("/api/v1/jobs/{id}/cancel", { ...path(id), body: reason === "" ? {} : { reason } })),
  retry: (id: string) => data(api.POST("/api/v1/jobs/{id}/retry", path(id))),
  resume: (id: string, budget?: Api<"BudgetAmounts">) =>
    data(api.POST("/api/v1/jobs/{id}/resume", { ...path(id), body: budget === undefined ? {} : { budget } })),
};

const headers = () => (person() === "" ? {} : { "X-Atta-User": person() });

export const vote = (approval: string, decision: Api<"Decision">, comment: string) =>
  data(
    api.POST("/api/v1/approvals/{id}/votes", {
      params: { path: { id: approval }, header: headers() },
      body: comment === "" ? { decision } : { decision, comment },
    }),
  );

const Named = ({ job }: { job: Job }) => <code className="break-all">{job.job_type}</code>;

export const confirmRetry = (job: Job) =>
  confirm({
    title: "Try this job again?",
    body: (
      <>
        <Named job={job} /> begins another attempt under the same id. Tasks that completed are kept; those that failed
        or blocked it run again, and what follows them. Agents that run again cost money again.
      </>
    ),
    action: "Try again",
    run: () => jobActions.retry(job.job_id),
    done: "The job begins another attempt.",
  });

export const confirmResume = (job: Job) =>
  confirm({
    title: "Let this job go on?",
    body: (
      <>
        <Named job={job} /> goes on where it was paused, with the parameters that it has. To change them, open the job.
      </>
    ),
    action: "Resume",
    run: () => jobActions.resume(job.job_id),
    done: "The job goes on.",
  });
