import { Link } from "@tanstack/react-router";
import type { Api } from "../../api/client";
import { Select } from "../../ui/field";
import { Cell, count, money, Panel, Table } from "../../ui/kit";
import { atLeast, bys, mean, percent, took } from "./words";

type By = Api<"OutcomesBy">;

/** Each group with its figures, and a bar for its part of the cost. */
export function Groups({
  by,
  result,
  choose,
  narrow,
}: {
  by: By;
  result: Api<"OutcomesResource">;
  choose: (by: string) => void;
  narrow: (key: string) => void;
}) {
  const most = Math.max(...result.groups.map((group) => group.cost_usd), 0);
  return (
    <Panel
      flush
      title={`By ${bys[by].toLowerCase()}`}
      actions={
        <Select
          label="Groups by"
          className="flex-row items-center gap-2"
          value={by}
          onChange={choose}
          options={Object.entries(bys)}
        />
      }
    >
      <Table
        label={`Outcomes by ${bys[by].toLowerCase()}`}
        head={[
          bys[by],
          "Cost",
          "Cost per merge",
          "Jobs",
          "Merged",
          "Failed",
          "First time",
          "Rework",
          "To merge",
          "Turns",
        ]}
      >
        {result.groups.map((group) => (
          <tr key={group.key ?? ""} className="tabular-nums">
            <Cell className="max-w-80">
              <GroupName by={by} name={group.key} narrow={narrow} />
              <div aria-hidden className="mt-1 h-1 rounded-full bg-raised">
                <div
                  className="h-1 rounded-full bg-accent"
                  style={{ width: `${most === 0 ? 0 : (group.cost_usd / most) * 100}%` }}
                />
              </div>
            </Cell>
            <Cell className="whitespace-nowrap">{atLeast(money(group.cost_usd), group.cost_unknown)}</Cell>
            <Cell className="whitespace-nowrap">{atLeast(money(group.cost_per_merged_usd), group.cost_unknown)}</Cell>
            <Cell>{count(group.jobs)}</Cell>
            <Cell className="whitespace-nowrap">
              {count(group.merged)} <span className="text-soft">of {count(group.pull_requests)}</span>
            </Cell>
            <Cell>{count(group.failed)}</Cell>
            <Cell>{percent(group.first_time_right)}</Cell>
            <Cell>{mean(group.rework.mean)}</Cell>
            <Cell className="whitespace-nowrap">{took(group.seconds_to_merge.median)}</Cell>
            <Cell>{count(group.turns)}</Cell>
          </tr>
        ))}
      </Table>
      {result.more_groups > 0 && (
        <p className="border-t border-line px-4 py-2 text-soft">
          and {count(result.more_groups)} more, that cost less: look for less above to see them.
        </p>
      )}
      {(by === "agent" || by === "model") && (
        <p className="border-t border-line px-4 py-2 text-xs text-soft">
          A job in which several took part is in several groups: they do not add up to the sums above.
        </p>
      )}
    </Panel>
  );
}

function GroupName({ by, name, narrow }: { by: By; name: string | null | undefined; narrow: (key: string) => void }) {
  if (name == null || name === "") return <span className="text-soft">not known</span>;
  if (by === "day") return <span className="whitespace-nowrap">{name}</span>;
  if (by === "job") {
    return (
      <Link to="/jobs/$id" params={{ id: name }} className="font-mono text-xs text-accent underline">
        …{name.slice(-12)}
      </Link>
    );
  }
  return (
    <button
      type="button"
      className="min-h-target text-left break-all text-accent underline"
      title={`Only ${name}`}
      onClick={() => narrow(name)}
    >
      {name}
    </button>
  );
}
