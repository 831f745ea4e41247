import { Link } from "@tanstack/react-router";
import { Copy } from "lucide-react";
import type { Api } from "../../api/client";
import { copy } from "../../ui/copy";
import { Button, Cell, Empty, Panel, Table } from "../../ui/kit";
import { Badge } from "../../ui/state";
import { Time } from "../../ui/time";
import { toast } from "../../ui/toast";
import { OutcomeMark } from "./outcome";

type Definition = Api<"DefinitionResource">;
type Trigger = Api<"TriggerResource">;
type Delivery = Api<"DeliveryResource">;

/** What can start jobs here, whether anything has come or not. */
export function Listed({
  definitions,
  deliveries,
}: {
  definitions: readonly Definition[];
  /** The newest of all, the newest first. */
  deliveries: readonly Delivery[];
}) {
  const all = definitions.flatMap((definition) =>
    (definition.triggers ?? []).map((trigger) => ({ type: definition.job_type, trigger })),
  );
  return (
    <Panel title="What starts jobs" flush className="mb-4">
      {all.length === 0 ? (
        <Empty title="No definition has a trigger">
          <p>
            A definition with <code>triggers: [{"{type: webhook, name: …}"}]</code> takes signed requests, one with{" "}
            <code>triggers: [{"{type: job, job_type: …}"}]</code> follows the jobs of another one.
          </p>
        </Empty>
      ) : (
        <Table label="Triggers" head={["Definition", "Its jobs start with", "Latest delivery"]}>
          {all.map(({ type, trigger }) => (
            <tr
              key={`${type} ${trigger.kind === "webhook" ? trigger.path : [...trigger.of, ...trigger.states].join(" ")}`}
            >
              <Cell>
                <Link to="/definitions/$type" params={{ type }} className="break-all text-accent underline">
                  {type}
                </Link>
                {!trigger.enabled && (
                  <div>
                    <Badge tone="idle">Disabled</Badge>
                  </div>
                )}
              </Cell>
              <Cell>{trigger.kind === "webhook" ? <Webhook webhook={trigger} /> : <Ends job={trigger} />}</Cell>
              <Cell className="whitespace-nowrap">
                {trigger.kind === "webhook" ? (
                  <Latest
                    delivery={deliveries.find((each) => each.job_type === type && each.trigger === trigger.name)}
                  />
                ) : (
                  <span className="text-soft">–</span>
                )}
              </Cell>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function Webhook({ webhook }: { webhook: Extract<Trigger, { kind: "webhook" }> }) {
  const address = `${window.location.origin}${webhook.path}`;
  return (
    <div className="flex min-w-60 flex-col items-start gap-1">
      <span>
        the webhook <span className="font-medium break-all">{webhook.name}</span>
      </span>
      <code className="text-xs break-all">{address}</code>
      <Button
        look="quiet"
        aria-label={`Copy the address of ${webhook.name}`}
        onClick={() => void copy(address).then((copied) => copied && toast.ok("The address is copied."))}
      >
        <Copy aria-hidden size={14} /> Copy the address
      </Button>
      {!webhook.secret_set && (
        <p className="text-xs text-bad">
          There is no secret {webhook.secret}, so every request is refused: store it with{" "}
          <code className="break-all">atta secret set {webhook.secret}</code> or under{" "}
          <Link to="/configs" className="underline">
            Configs
          </Link>
          .
        </p>
      )}
    </div>
  );
}

function Ends({ job }: { job: Extract<Trigger, { kind: "job" }> }) {
  return (
    <span className="break-words">
      the end of a job of {job.of.join(", ")} as {job.states.join(", ")}
    </span>
  );
}

function Latest({ delivery }: { delivery: Delivery | undefined }) {
  if (delivery === undefined) return <span className="text-soft">none of the latest</span>;
  return (
    <div className="flex flex-col items-start gap-1">
      <OutcomeMark outcome={delivery.outcome} />
      <Time at={delivery.received_at} className="text-xs text-soft" />
    </div>
  );
}
