import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Api } from "../../api/client";
import { jobActions } from "../../app/actions";
import { limited, raised } from "../../app/budget";
import { BudgetFields } from "../../app/budget-fields";
import { jobQuery } from "../../app/overview";
import { Dialog, DialogForm } from "../../ui/dialog";
import { Loaded } from "../../ui/kit";
import { StateBadge } from "../../ui/state";
import { toast } from "../../ui/toast";

/** Gives a paused job more, and lets it go on. */
export function Extend({ budget, onClose }: { budget: Api<"BudgetResource">; onClose: () => void }) {
  const id = budget.job_id ?? "";
  const queries = useQueryClient();
  const rows = limited(budget);
  const [texts, setTexts] = useState<Record<string, string>>({});
  const job = useQuery(jobQuery(id));
  const more = raised(rows, texts) ?? {};
  return (
    <Dialog
      title={`Extend the budget of job …${id.slice(-8)}`}
      lead="These are what the job may use in all, with what it has used already."
      onClose={onClose}
    >
      <Loaded query={job}>
        {({ state, reason }) => (
          <DialogForm
            action="Extend and go on"
            onClose={onClose}
            ready={state === "PAUSED" && Object.keys(more).length > 0}
            send={async () => {
              await jobActions.resume(id, more);
              await queries.invalidateQueries({ queryKey: ["live", "budgets"] });
              toast.ok("The job goes on with its new budget.");
              onClose();
            }}
          >
            <p className="flex flex-wrap items-center gap-2">
              <StateBadge state={state} /> <span className="min-w-0 break-words text-soft">{reason}</span>
            </p>
            {state !== "PAUSED" && (
              <p className="text-soft">
                Only a paused job takes another budget. It is paused by itself when nothing is left; one can pause it
                before on its page.
              </p>
            )}
            <BudgetFields rows={rows} texts={texts} onTexts={setTexts} disabled={state !== "PAUSED"} />
          </DialogForm>
        )}
      </Loaded>
    </Dialog>
  );
}
