import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleCheck, CircleX, Hourglass, Search } from "lucide-react";
import { useState } from "react";
import { type Api, api, data } from "../../api/client";
import { useMay } from "../../app/caller";
import { budgets } from "../../app/overview";
import { confirm } from "../../ui/confirm";
import { Button, Cell, Empty, Loaded, PageHeader, Panel, Table } from "../../ui/kit";
import { Badge, type Tone } from "../../ui/state";
import { Time } from "../../ui/time";
import { Amounts } from "./amounts";
import { Extend } from "./extend";

type Budget = Api<"BudgetResource">;
type Account = Api<"AccountResource">;

export function BudgetsPage() {
  const report = useQuery({ ...budgets, refetchOnWindowFocus: "always" });
  const accounts = useQuery({
    queryKey: ["live", "accounts"],
    queryFn: () => data(api.GET("/api/v1/accounts")),
    refetchOnWindowFocus: "always",
  });
  return (
    <>
      <PageHeader
        title="Budgets"
        lead="What agents may use, have used, and have reserved for what they do now. What an agent does not tell is counted as what was reserved for it."
      />
      <div className="flex flex-col gap-4">
        <Loaded query={report}>{(each) => <Budgets report={each} />}</Loaded>
        <Loaded query={accounts}>{(each) => <Accounts accounts={each} />}</Loaded>
      </div>
    </>
  );
}

function Budgets({ report }: { report: Api<"BudgetReport"> }) {
  const [extended, setExtended] = useState<Budget>();
  const may = useMay()("operator");
  const day = report.budgets.find((budget) => budget.scope === "day");
  const definitions = report.budgets.filter((budget) => budget.scope === "definition");
  const jobs = report.budgets.filter((budget) => budget.scope === "job");
  return (
    <>
      <Panel
        title="Today, all agents"
        actions={
          <span className="text-right text-xs text-soft">
            {report.day} (UTC); the next day begins <Time at={report.next_day_at} />
          </span>
        }
      >
        {day === undefined ? (
          <p className="text-soft">
            No limit. <code>atta serve --budget-per-day usd=100</code> sets one for all agents together.
          </p>
        ) : (
          <div className="flex flex-col gap-2">
            <Amounts budget={day} of="today" />
            {day.running + day.waiting > 0 && <Queue budget={day} />}
          </div>
        )}
      </Panel>
      <Panel flush title="Today, by definition">
        {definitions.length === 0 ? (
          <Empty title="No agent has worked today">
            What the agents of a definition use on a day is counted here. <code>budget: {"{per_day: {usd: 50}}"}</code>{" "}
            in a definition limits it.
          </Empty>
        ) : (
          <Table label="Budgets of definitions" head={["Definition", "Used today", "Agents"]}>
            {definitions.map((budget) => (
              <tr key={budget.job_type}>
                <Cell className="min-w-48 break-words">
                  <Link
                    to="/definitions/$type"
                    params={{ type: budget.job_type ?? "" }}
                    className="font-medium text-accent underline"
                  >
                    {budget.job_type}
                  </Link>
                </Cell>
                <Cell className="w-full">
                  <Amounts budget={budget} of={budget.job_type ?? ""} />
                </Cell>
                <Cell>
                  <Queue budget={budget} />
                </Cell>
              </tr>
            ))}
          </Table>
        )}
      </Panel>
      <Panel flush title="Jobs with a budget">
        {jobs.length === 0 ? (
          <Empty title="No job with a budget is under way">
            A definition limits what one job may use with <code>budget: {"{usd: 5}"}</code>.
          </Empty>
        ) : (
          <Table label="Budgets of jobs" head={["Job", "Used", "Agents", ...(may ? ["Actions"] : [])]}>
            {jobs.map((budget) => (
              <tr key={budget.job_id}>
                <Cell className="min-w-48">
                  <Link
                    to="/jobs/$id"
                    params={{ id: budget.job_id ?? "" }}
                    className="font-medium break-all text-accent underline"
                  >
                    {budget.job_type ?? "job"}
                  </Link>
                  <div className="font-mono text-xs text-soft">…{budget.job_id?.slice(-8)}</div>
                </Cell>
                <Cell className="w-full">
                  <Amounts budget={budget} of={`job ${budget.job_id?.slice(-8)}`} />
                </Cell>
                <Cell>
                  <Queue budget={budget} />
                </Cell>
                {may && (
                  <Cell>
                    <Button
                      aria-label={`Extend the budget of job ${budget.job_id?.slice(-8)}`}
                      onClick={() => setExtended(budget)}
                    >
                      Extend…
                    </Button>
                  </Cell>
                )}
              </tr>
            ))}
          </Table>
        )}
      </Panel>
      {extended && <Extend budget={extended} onClose={() => setExtended(undefined)} />}
    </>
  );
}

function Queue({ budget }: { budget: Budget }) {
  if (budget.running === 0 && budget.waiting === 0) {
    return <span className="text-xs whitespace-nowrap text-soft">none now</span>;
  }
  return (
    <span className="text-xs whitespace-nowrap">
      {budget.running} running
      {budget.waiting > 0 && <span className="text-ask">, {budget.waiting} waiting for this budget</span>}
    </span>
  );
}

const states: Record<Account["state"], { tone: Tone; icon: typeof Search; word: string }> = {
  open: { tone: "ok", icon: CircleCheck, word: "Open" },
  parked: { tone: "ask", icon: Hourglass, word: "At its limit" },
  broken: { tone: "bad", icon: CircleX, word: "Refused" },
  probing: { tone: "run", icon: Search, word: "Being tried" },
};

function Accounts({ accounts }: { accounts: Account[] }) {
  const queries = useQueryClient();
  const may = useMay()("operator");
  const release = (account: Account) =>
    confirm({
      title: `Use ${account.name} again?`,
      body: `What was said of its limit is forgotten, and one attempt tries it. ${account.waiting === 0 ? "Nothing waits for it." : `${account.waiting} waiting: the others follow when that goes well.`} If the limit still holds, the account is parked again; the try may be paid for.`,
      action: "Use it again",
      done: `${account.name} can be used again.`,
      run: async () => {
        await data(api.POST("/api/v1/accounts/{name}/release", { params: { path: { name: account.name } } }));
        await queries.invalidateQueries({ queryKey: ["live", "accounts"] });
      },
    });
  return (
    <Panel flush title="Accounts of agents">
      {accounts.length === 0 ? (
        <Empty title="No agent has been used yet">
          Each account that an agent uses appears here, with its limits: those are met by accounts, not by jobs.
        </Empty>
      ) : (
        <Table
          label="Accounts of agents"
          head={["Account", "State", "Limit last met", "Agents", ...(may ? ["Actions"] : [])]}
        >
          {accounts.map((account) => {
            const { tone, icon: Icon, word } = states[account.state];
            return (
              <tr key={account.name}>
                <Cell className="min-w-32 font-medium break-all">{account.name}</Cell>
                <Cell>
                  <Badge tone={tone}>
                    <Icon aria-hidden size={13} />
                    {word}
                  </Badge>
                  {account.reason && <p className="mt-1 max-w-prose break-words">{account.reason}</p>}
                  {account.until && (
                    <p className="text-xs text-soft">
                      resets <Time at={account.until} />
                    </p>
                  )}
                </Cell>
                <Cell>
                  {account.limited_at ? <Time at={account.limited_at} /> : <span className="text-soft">never</span>}
                </Cell>
                <Cell className="whitespace-nowrap">
                  {account.running} running
                  {account.waiting > 0 && <span className="text-ask">, {account.waiting} waiting</span>}
                </Cell>
                {may && (
                  <Cell>
                    {account.state !== "open" && (
                      <Button aria-label={`Use ${account.name} again`} onClick={() => void release(account)}>
                        Use again…
                      </Button>
                    )}
                  </Cell>
                )}
              </tr>
            );
          })}
        </Table>
      )}
    </Panel>
  );
}
