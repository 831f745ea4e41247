import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleCheck, CircleX, Hourglass } from "lucide-react";
import { type Api, api, data } from "../../api/client";
import { given, usePaged } from "../../api/paged";
import { useMay } from "../../app/caller";
import { useFilters } from "../../app/filters";
import { confirm } from "../../ui/confirm";
import { Dialog } from "../../ui/dialog";
import { Facts, FilterBar, Select, ShowMore, Source } from "../../ui/field";
import { Button, Cell, Empty, Loaded, PageHeader, Panel, Table } from "../../ui/kit";
import { Badge, type Tone } from "../../ui/state";
import { Time } from "../../ui/time";

type Notification = Api<"NotificationResource">;
type State = Notification["state"];

const states: Record<State, { tone: Tone; icon: typeof Hourglass; word: string }> = {
  PENDING: { tone: "run", icon: Hourglass, word: "To be sent" },
  SENT: { tone: "ok", icon: CircleCheck, word: "Sent" },
  DEAD: { tone: "bad", icon: CircleX, word: "Given up" },
};

function StateMark({ state }: { state: State }) {
  const { tone, icon: Icon, word } = states[state];
  return (
    <Badge tone={tone}>
      <Icon aria-hidden size={13} />
      {word}
    </Badge>
  );
}

export function NotificationsPage() {
  const [{ state, id }, filter] = useFilters(["state", "id"]);
  const wanted = state in states ? (state as State) : undefined;
  const list = usePaged(["live", "notifications", state], (cursor) =>
    data(
      api.GET("/api/v1/notifications", {
        params: { query: given({ state: wanted, cursor, limit: 50 }) },
      }),
    ),
  );
  const queries = useQueryClient();
  const may = useMay()("operator");
  const refresh = () => queries.invalidateQueries({ queryKey: ["live", "notifications"] });
  return (
    <>
      <PageHeader title="Notifications" lead="What was told to whom: webhooks, Slack and e-mail." />
      <FilterBar label="Which notifications">
        <Select
          label="State"
          value={state}
          onChange={(value) => filter({ state: value })}
          options={[["", "All"], ...Object.entries(states).map(([key, { word }]) => [key, word] as const)]}
        />
      </FilterBar>
      <Panel flush>
        <Loaded query={list}>
          {(items) =>
            items.length === 0 ? (
              <Empty title={state === "" ? "Nobody was told anything" : "No notification is in this state"}>
                A definition says with <code>notify</code> who is told when its jobs end, pause or ask.
              </Empty>
            ) : (
              <Table label="Notifications" head={["What", "To", "State", "Written", ...(may ? ["Actions"] : [])]}>
                {items.map((each) => (
                  <tr key={each.notification_id}>
                    <Cell>
                      <button
                        type="button"
                        className="min-h-target text-left font-medium text-accent underline"
                        onClick={() => filter({ id: each.notification_id })}
                      >
                        {each.event}
                      </button>
                      <div className="text-xs break-words text-soft">
                        of{" "}
                        <Link to="/jobs/$id" params={{ id: each.job_id }} className="underline">
                          {each.job_type}
                        </Link>
                      </div>
                    </Cell>
                    <Cell>
                      <div className="text-xs text-soft">{each.channel}</div>
                      <div className="max-w-80 break-all">{each.destination}</div>
                    </Cell>
                    <Cell>
                      <StateMark state={each.state} />
                      {each.last_error && (
                        <p className="mt-1 max-w-prose text-xs break-words text-soft">{each.last_error}</p>
                      )}
                      {each.next_at && each.state === "PENDING" && each.attempts > 0 && (
                        <p className="text-xs text-soft">
                          tried {each.attempts} times; next <Time at={each.next_at} />
                        </p>
                      )}
                    </Cell>
                    <Cell className="whitespace-nowrap">
                      <Time at={each.created_at} />
                    </Cell>
                    {may && <Cell>{each.state === "DEAD" && <Retry notification={each} refresh={refresh} />}</Cell>}
                  </tr>
                ))}
              </Table>
            )
          }
        </Loaded>
        {list.data !== undefined && <ShowMore query={list} />}
      </Panel>
      {id !== "" && <Detail id={id} onClose={() => filter({ id: "" })} refresh={refresh} />}
    </>
  );
}

function Retry({ notification, refresh }: { notification: Notification; refresh: () => Promise<void> }) {
  const id = notification.notification_id;
  return (
    <Button
      aria-label={`Send ${notification.event} to ${notification.destination} again`}
      onClick={() =>
        void confirm({
          title: "Send it again?",
          body: `${notification.event} goes to ${notification.destination} again, with the same id, and is tried as often as a new one. A receiver that got it before may get it twice.`,
          action: "Send again",
          done: "It is being sent.",
          run: async () => {
            await data(api.POST("/api/v1/notifications/{id}/retry", { params: { path: { id } } }));
            await refresh();
          },
        })
      }
    >
      Send again…
    </Button>
  );
}

function Detail({ id, onClose, refresh }: { id: string; onClose: () => void; refresh: () => Promise<void> }) {
  const may = useMay();
  const one = useQuery({
    queryKey: ["live", "notifications", "one", id],
    queryFn: () => data(api.GET("/api/v1/notifications/{id}", { params: { path: { id } } })),
  });
  return (
    <Dialog side title="Notification" onClose={onClose}>
      <Loaded query={one}>
        {(each) => (
          <>
            <Facts
              rows={[
                ["What", each.event],
                ["State", <StateMark key="state" state={each.state} />],
                ["Channel", each.channel],
                [
                  "To",
                  <span key="to" className="break-all">
                    {each.destination}
                  </span>,
                ],
                [
                  "Job",
                  <Link key="job" to="/jobs/$id" params={{ id: each.job_id }} className="text-accent underline">
                    {each.job_type} …{each.job_id.slice(-8)}
                  </Link>,
                ],
                ["Written", <Time key="written" at={each.created_at} />],
                ["Tries", String(each.attempts)],
                [
                  "Next try",
                  each.next_at && each.state === "PENDING" ? <Time key="next" at={each.next_at} /> : undefined,
                ],
                ["Last error", each.last_error],
                ["Ended", each.finished_at ? <Time key="ended" at={each.finished_at} /> : undefined],
                [
                  "Id",
                  <code key="id" className="text-xs break-all">
                    {each.notification_id}
                  </code>,
                ],
              ]}
            />
            {each.state === "DEAD" && may("operator") && (
              <div>
                <Retry notification={each} refresh={refresh} />
              </div>
            )}
            <div>
              <h3 className="mb-1 font-medium">What is told</h3>
              <Source label="What is told" text={JSON.stringify(each.content, null, 2)} />
            </div>
          </>
        )}
      </Loaded>
    </Dialog>
  );
}
