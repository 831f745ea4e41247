import { useState } from "react";
import { type Api, api, data } from "../../api/client";
import { given, usePaged } from "../../api/paged";
import { Select, ShowMore } from "../../ui/field";
import { Cell, Empty, Loaded, Table } from "../../ui/kit";
import { lookOf, StateBadge } from "../../ui/state";
import type { Task } from "./job";

type State = Api<"TaskState">;

/** The items of a `fan_out`: how each stands, by state. */
export function Items({ jobId, task, onAttempt }: { jobId: string; task: Task; onAttempt: (number: number) => void }) {
  const [state, setState] = useState<State | "">("");
  const query = usePaged(["job", jobId, "items", task.task_type, state], (cursor) =>
    data(
      api.GET("/api/v1/jobs/{id}/tasks/{task}/instances", {
        params: {
          path: { id: jobId, task: task.task_type },
          query: given({ limit: 100, state: state === "" ? undefined : [state], cursor }),
        },
      }),
    ),
  );
  const counts = Object.entries(task.fan_out?.counts ?? {}) as [State, number][];
  return (
    <div className="flex flex-col gap-3 py-3">
      <Select
        label="Show"
        className="flex-row items-center gap-2 px-4"
        value={state}
        onChange={(value) => setState(value as State | "")}
        options={[
          ["", `all ${task.fan_out?.total} items`],
          ...counts.map(([each, number]) => [each, `${lookOf(each).word} (${number})`] as const),
        ]}
      />
      <Loaded query={query}>
        {(items) =>
          items.length === 0 ? (
            <Empty title="No item is like that" />
          ) : (
            <Table label="Items" head={["Item", "State", "Attempts", "What happened"]}>
              {items.map((item) => (
                <tr key={item.index}>
                  <Cell className="max-w-52 break-all">{item.key}</Cell>
                  <Cell>
                    <StateBadge state={item.state} />
                  </Cell>
                  <Cell>
                    {item.last_attempt != null ? (
                      <button
                        type="button"
                        className="min-h-target text-accent underline underline-offset-2"
                        onClick={() => onAttempt(item.last_attempt ?? 0)}
                      >
                        {item.attempts === 1 ? "log" : `${item.attempts}, latest log`}
                      </button>
                    ) : (
                      "–"
                    )}
                  </Cell>
                  <Cell className="break-words text-soft">{item.error?.message ?? item.result ?? ""}</Cell>
                </tr>
              ))}
            </Table>
          )
        }
      </Loaded>
      {query.data !== undefined && <ShowMore query={query} />}
    </div>
  );
}
