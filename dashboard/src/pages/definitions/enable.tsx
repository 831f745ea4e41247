import { useQueryClient } from "@tanstack/react-query";
import { type Api, api, data } from "../../api/client";
import { useMay } from "../../app/caller";
import { confirm } from "../../ui/confirm";
import { Button } from "../../ui/kit";

/** Enables or disables a definition, after it has said what follows. */
export function EnableButton({
  definition,
  look = "quiet",
}: {
  definition: Api<"DefinitionResource">;
  look?: "quiet" | "plain";
}) {
  const queries = useQueryClient();
  const may = useMay();
  const { job_type, enabled, schedule } = definition;
  const change = async () => {
    await confirm({
      title: enabled ? `Disable ${job_type}?` : `Enable ${job_type}?`,
      body: enabled
        ? `It takes no jobs, from nobody${schedule.length > 0 ? ", and its schedule rests," : ""} until it is enabled. Jobs that are there go on.`
        : `It takes jobs again${schedule.length > 0 ? ", and its schedule runs from now on. Runs that were left out meanwhile are not made up for" : ""}.`,
      action: enabled ? "Disable" : "Enable",
      danger: enabled,
      done: enabled ? `${job_type} is disabled.` : `${job_type} is enabled.`,
      run: async () => {
        const params = { params: { path: { job_type } } };
        await (enabled
          ? data(api.POST("/api/v1/definitions/{job_type}/disable", params))
          : data(api.POST("/api/v1/definitions/{job_type}/enable", params)));
        await queries.invalidateQueries({ queryKey: ["definitions"] });
        await queries.invalidateQueries({ queryKey: ["live", "schedules"] });
      },
    });
  };
  if (!may("admin")) return null;
  return (
    <Button look={look} onClick={() => void change()} aria-label={`${enabled ? "Disable" : "Enable"} ${job_type}`}>
      {enabled ? "Disable…" : "Enable…"}
    </Button>
  );
}
