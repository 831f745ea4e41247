import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type Api, api, data } from "../../api/client";
import { given, usePaged } from "../../api/paged";
import { useFilters } from "../../app/filters";
import { definitions, useDefinitionNames } from "../../app/overview";
import { FilterBar, Select, ShowMore, TextField } from "../../ui/field";
import { bytes, Cell, Empty, Loaded, PageHeader, Panel, Table } from "../../ui/kit";
import { Time } from "../../ui/time";
import { Delivery } from "./delivery";
import { Listed } from "./listed";
import { OutcomeMark, outcomes } from "./outcome";

type Resource = Api<"DeliveryResource">;

/** Deliveries, the newest first. */
function useDeliveries(definition: string, trigger: string, outcome: Resource["outcome"] | undefined) {
  return usePaged(["live", "deliveries", definition, trigger, outcome ?? ""], (cursor) =>
    data(
      api.GET("/api/v1/deliveries", {
        params: { query: given({ job_type: definition, trigger, outcome, cursor, limit: 50 }) },
      }),
    ),
  );
}

export function TriggersPage() {
  const [filters, filter] = useFilters(["definition", "trigger", "outcome", "delivery"]);
  const outcome = filters.outcome in outcomes ? (filters.outcome as Resource["outcome"]) : undefined;
  const list = useDeliveries(filters.definition, filters.trigger, outcome);
  // What came last does not depend on what one looks for.
  const newest = useDeliveries("", "", undefined).data ?? [];
  const all = useQuery(definitions);
  const queries = useQueryClient();
  const names = useDefinitionNames(filters.definition);
  const filtered = filters.definition !== "" || filters.trigger !== "" || outcome !== undefined;
  return (
    <>
      <PageHeader
        title="Triggers"
        lead="What starts jobs by itself, what came to webhooks, and what became of it. Only what proved where it comes from is kept."
      />
      <Loaded query={all}>{(found) => <Listed definitions={found} deliveries={newest} />}</Loaded>
      <FilterBar label="Which deliveries">
        <Select
          label="Definition"
          value={filters.definition}
          onChange={(definition) => filter({ definition })}
          options={[["", "All"], ...names]}
        />
        <TextField
          label="Webhook"
          placeholder="its name"
          value={filters.trigger}
          onText={(trigger) => filter({ trigger })}
        />
        <Select
          label="What came of it"
          value={filters.outcome}
          onChange={(value) => filter({ outcome: value })}
          options={[["", "Anything"], ...Object.entries(outcomes).map(([key, { word }]) => [key, word] as const)]}
        />
      </FilterBar>
      <Panel title="Deliveries" flush>
        <Loaded query={list}>
          {(deliveries) =>
            deliveries.length === 0 ? (
              <Empty title={filtered ? "No delivery is like that" : "Nothing was delivered yet"}>
                <p>
                  A definition with <code>triggers: [{"{type: webhook, name: …}"}]</code> takes signed requests at{" "}
                  <code className="break-all">
                    POST {window.location.origin}/api/v1/hooks/&lt;definition&gt;/&lt;name&gt;
                  </code>
                  .
                </p>
              </Empty>
            ) : (
              <Table label="Deliveries" head={["Event", "Webhook", "What came of it", "Job", "Body", "Received"]}>
                {deliveries.map((each) => (
                  <tr key={each.id}>
                    <Cell>
                      <button
                        type="button"
                        className="min-h-target text-left font-medium break-all text-accent underline"
                        onClick={() => filter({ delivery: each.id })}
                      >
                        {each.event || "delivery"}
                      </button>
                      <div className="max-w-60 truncate font-mono text-xs text-soft" title={each.sender_id}>
                        {each.sender_id}
                      </div>
                    </Cell>
                    <Cell>
                      <Link
                        to="/definitions/$type"
                        params={{ type: each.job_type }}
                        className="break-all text-accent underline"
                      >
                        {each.job_type}
                      </Link>
                      <div className="text-xs break-all text-soft">{each.trigger}</div>
                    </Cell>
                    <Cell>
                      <OutcomeMark outcome={each.outcome} />
                      {each.message && <p className="mt-1 max-w-prose text-xs break-words text-soft">{each.message}</p>}
                    </Cell>
                    <Cell className="whitespace-nowrap">
                      {each.job_id ? (
                        <Link to="/jobs/$id" params={{ id: each.job_id }} className="text-accent underline">
                          …{each.job_id.slice(-8)}
                        </Link>
                      ) : (
                        <span className="text-soft">none</span>
                      )}
                    </Cell>
                    <Cell className="whitespace-nowrap">{bytes(each.body_bytes)}</Cell>
                    <Cell className="whitespace-nowrap">
                      <Time at={each.received_at} />
                      {each.redelivery_of && <div className="text-xs text-soft">delivered again</div>}
                    </Cell>
                  </tr>
                ))}
              </Table>
            )
          }
        </Loaded>
        {list.data !== undefined && <ShowMore query={list} />}
      </Panel>
      {filters.delivery !== "" && (
        <Delivery
          id={filters.delivery}
          show={(delivery) => filter({ delivery })}
          onClose={() => filter({ delivery: "" })}
          refresh={() => queries.invalidateQueries({ queryKey: ["live", "deliveries"] })}
        />
      )}
    </>
  );
}
