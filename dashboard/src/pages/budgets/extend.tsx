import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Api, api, data } from "../../api/client";
import { Dialog, DialogForm } from "../../ui/dialog";
import { TextField } from "../../ui/field";
import { Loaded } from "../../ui/kit";
import { StateBadge } from "../../ui/state";
import { toast } from "../../ui/toast";
import { amount, kinds, words } from "./amounts";
import { raised } from "./raise";

/** Gives a paused job more, and lets it go on. */
export function Extend({ budget, onClose }: { budget: Api<"BudgetResource">; onClose: () => void }) {
  const id = budget.job_id ?? "";
  const queries = useQueryClient();
  const limited = kinds.filter((kind) => budget.limits[kind] != null);
  const [texts, setTexts] = useState<Record<string, string>>(() =>
    Object.fromEntries(limited.map((kind) => [kind, String(budget.limits[kind] ?? "")])),
  );
  const job = useQuery({
    queryKey: ["job", id, "state"],
    queryFn: () => data(api.GET("/api/v1/jobs/{id}", { params: { path: { id } } })),
  });
  const more = raised(budget.limits, texts);
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
              await data(api.POST("/api/v1/jobs/{id}/resume", { params: { path: { id } }, body: { budget: more } }));
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
            {limited.map((kind) => (
              <TextField
                key={kind}
                label={words[kind]}
                hint={`${amount(kind, budget.used[kind] ?? 0)} used, of ${amount(kind, budget.limits[kind])}`}
                inputMode="decimal"
                pattern="[0-9]+([.][0-9]+)?"
                disabled={state !== "PAUSED"}
                value={texts[kind] ?? ""}
                onText={(text) => setTexts({ ...texts, [kind]: text })}
              />
            ))}
          </DialogForm>
        )}
      </Loaded>
    </Dialog>
  );
}
