import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { type Api, api, data } from "../../api/client";
import { NotYours, useMay } from "../../app/caller";
import { confirm } from "../../ui/confirm";
import { Dialog } from "../../ui/dialog";
import { Facts, Source } from "../../ui/field";
import { Button, bytes, Loaded } from "../../ui/kit";
import { pretty } from "../../ui/pretty";
import { Time } from "../../ui/time";
import { OutcomeMark, outcomes } from "./outcome";

/** One delivery: its headers, its body, the answer that it got; and a way to evaluate it again. */
export function Delivery({
  id,
  show,
  onClose,
  refresh,
}: {
  id: string;
  show: (id: string) => void;
  onClose: () => void;
  refresh: () => Promise<void>;
}) {
  const one = useQuery({
    queryKey: ["delivery", id],
    queryFn: () => data(api.GET("/api/v1/deliveries/{id}", { params: { path: { id } } })),
  });
  const may = useMay();
  const [answer, setAnswer] = useState<{ of: string; answer: Api<"WebhookAnswer"> }>();
  const again = () =>
    confirm({
      title: "Deliver it again?",
      body: "It is evaluated as if it came now, with the newest version of the definition: that may submit another job. A live job with the same key keeps it from doing so.",
      action: "Deliver again",
      run: async () => {
        setAnswer({
          of: id,
          answer: await data(api.POST("/api/v1/deliveries/{id}/redeliver", { params: { path: { id } } })),
        });
        await refresh();
      },
    });
  return (
    <Dialog side title="Delivery" onClose={onClose}>
      <Loaded query={one}>
        {({ delivery, text, base64 }) => (
          <>
            <Facts
              rows={[
                ["Event", delivery.event],
                [
                  "Webhook",
                  <span key="hook" className="break-all">
                    {delivery.job_type} / {delivery.trigger}
                  </span>,
                ],
                [
                  "Came of it",
                  <Answer key="answer" outcome={delivery.outcome} message={delivery.message} job={delivery.job_id} />,
                ],
                ["Received", <Time key="at" at={delivery.received_at} />],
                [
                  "Sender's id",
                  <code key="sender" className="text-xs break-all">
                    {delivery.sender_id}
                  </code>,
                ],
                [
                  "Again of",
                  delivery.redelivery_of && (
                    <button
                      key="again"
                      type="button"
                      className="font-mono text-xs break-all text-accent underline"
                      onClick={() => show(delivery.redelivery_of ?? "")}
                    >
                      {delivery.redelivery_of}
                    </button>
                  ),
                ],
              ]}
            />
            <div className="flex flex-col gap-2">
              {may("operator") ? (
                <div>
                  <Button onClick={() => void again()}>Deliver again…</Button>
                </div>
              ) : (
                <NotYours needed="operator" to="deliver it again" />
              )}
              {answer?.of === id && (
                <div role="status" className="rounded-md border border-line bg-raised p-3">
                  <p className="mb-1 font-medium">Delivered again</p>
                  <Answer outcome={answer.answer.outcome} message={answer.answer.message} job={answer.answer.job_id} />
                  <button
                    type="button"
                    className="mt-1 min-h-target text-accent underline"
                    onClick={() => show(answer.answer.delivery_id)}
                  >
                    Show that delivery
                  </button>
                </div>
              )}
            </div>
            <div>
              <h3 className="mb-1 font-medium">Headers</h3>
              <Source
                label="Headers"
                text={Object.entries(delivery.headers)
                  .map(([name, value]) => `${name}: ${value}`)
                  .join("\n")}
              />
            </div>
            <div>
              <h3 className="mb-1 font-medium">
                Body <span className="font-normal text-soft">({bytes(delivery.body_bytes)})</span>
              </h3>
              {text != null ? (
                <Source label="Body" text={pretty(text)} />
              ) : (
                <>
                  <p className="mb-1 text-soft">It is not text; this is its base64.</p>
                  <Source label="Body in base64" text={base64 ?? ""} />
                </>
              )}
            </div>
          </>
        )}
      </Loaded>
    </Dialog>
  );
}

function Answer({
  outcome,
  message,
  job,
}: {
  outcome: Api<"DeliveryOutcome">;
  message?: string | null | undefined;
  job?: string | null | undefined;
}) {
  return (
    <div className="flex flex-col items-start gap-1">
      <OutcomeMark outcome={outcome} />
      <span className="text-xs text-soft">{outcomes[outcome].means}</span>
      {message && <span className="break-words">{message}</span>}
      {job && (
        <Link to="/jobs/$id" params={{ id: job }} className="break-all text-accent underline">
          job …{job.slice(-8)}
        </Link>
      )}
    </div>
  );
}
