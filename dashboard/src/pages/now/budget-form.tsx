import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Api } from "../../api/client";
import { jobActions } from "../../app/actions";
import { type Amount, raised, tight } from "../../app/budget";
import { BudgetFields } from "../../app/budget-fields";
import { jobQuery } from "../../app/overview";
import { confirm } from "../../ui/confirm";
import { Button } from "../../ui/kit";

/** Gives a job that has used up its budget a larger one, so that it goes on. */
export function BudgetForm({ job }: { job: Api<"JobSummary"> }) {
  const detail = useQuery(jobQuery(job.job_id));
  const budget = detail.data?.budget;
  if (!budget) return <p className="text-soft">{detail.isError ? detail.error.message : "…"}</p>;
  return <Fields key={JSON.stringify(budget.limits)} job={job} rows={tight(budget)} />;
}

function Fields({ job, rows }: { job: Api<"JobSummary">; rows: Amount[] }) {
  const [texts, setTexts] = useState<Record<string, string>>(() =>
    Object.fromEntries(rows.map((row) => [row.name, String(row.suggested)])),
  );
  const chosen = raised(rows, texts) ?? {};
  return (
    <form
      className="flex flex-wrap items-start gap-x-3 gap-y-2"
      onSubmit={(event) => {
        event.preventDefault();
        const told = rows.flatMap(({ name, limit, show }) => {
          const value = chosen[name];
          return value == null ? [] : [`${show(value)} instead of ${show(limit)}`];
        });
        void confirm({
          title: "Give it more, and go on?",
          body: `The agents of ${job.job_type} may use ${told.join(", ")} in all, and go on in their sessions at once. Money that they use is not given back.`,
          action: "Extend and resume",
          run: () => jobActions.resume(job.job_id, chosen),
          done: "The job goes on with the larger budget.",
        });
      }}
    >
      <BudgetFields rows={rows} texts={texts} onTexts={setTexts} />
      <Button type="submit" look="primary" className="mt-5" disabled={Object.keys(chosen).length === 0}>
        Extend and resume…
      </Button>
    </form>
  );
}
