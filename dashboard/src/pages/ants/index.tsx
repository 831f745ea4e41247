import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleCheck, CircleX, Hourglass, VolumeX } from "lucide-react";
import { type Api, api, data } from "../../api/client";
import { useMay } from "../../app/caller";
import { ants } from "../../app/overview";
import { confirm, type Question } from "../../ui/confirm";
import { Button, bytes, Cell, Empty, Loaded, PageHeader, Panel, Table } from "../../ui/kit";
import { Meter } from "../../ui/meter";
import { Badge, type Tone } from "../../ui/state";
import { Time } from "../../ui/time";
import { capacity, jobOf } from "./capacity";

type Ant = Api<"AntResource">;
type Order = "cordon" | "drain" | "uncordon";

const states: Record<Ant["state"], { tone: Tone; icon: typeof Hourglass; word: string; means: string }> = {
  LIVE: { tone: "ok", icon: CircleCheck, word: "Live", means: "It asks for work." },
  AWAITED: {
    tone: "idle",
    icon: Hourglass,
    word: "Awaited",
    means: "It has not asked for work since the server started.",
  },
  SILENT: {
    tone: "ask",
    icon: VolumeX,
    word: "Silent",
    means: "It was not heard of for a while; its work is not given up yet.",
  },
  LOST: {
    tone: "bad",
    icon: CircleX,
    word: "Lost",
    means: "It was not heard of for a whole lease: what it ran is lost.",
  },
};

const modes: Record<Ant["mode"], { tone: Tone; word: string }> = {
  OPEN: { tone: "idle", word: "Takes work" },
  CORDONED: { tone: "ask", word: "Cordoned" },
  DRAINING: { tone: "ask", word: "Draining" },
};

function question(order: Order, ant: Ant): Question {
  const busy = ant.used === 1 ? "The attempt that it has goes on" : `The ${ant.used} attempts that it has go on`;
  const stays = ant.used === 0 ? "It has no work now." : `${busy} to the end.`;
  switch (order) {
    case "cordon":
      return {
        title: `Cordon ${ant.ant_id}?`,
        body: `It gets no new work. ${stays} What only this ant can do waits until it is uncordoned, also when it or the server starts anew.`,
        action: "Cordon",
        done: `${ant.ant_id} gets no new work.`,
      };
    case "drain":
      return {
        title: `Drain ${ant.ant_id}?`,
        body: `It gets no new work. ${stays} When it has none, it can be taken away. This stays so when it or the server starts anew.`,
        action: "Drain",
        done: `${ant.ant_id} is being drained.`,
      };
    case "uncordon":
      return {
        title: `Give ${ant.ant_id} work again?`,
        body: `It may get up to ${ant.slots} attempts at once, from now on.`,
        action: "Uncordon",
        done: `${ant.ant_id} takes work.`,
      };
  }
}

export function AntsPage() {
  const list = useQuery({ ...ants, refetchOnWindowFocus: "always" });
  return (
    <>
      <PageHeader
        title="Ants"
        lead="Who does the work. An ant takes attempts, runs them, and tells what became of them."
      />
      <Loaded query={list}>{(found) => <Ants ants={found} />}</Loaded>
    </>
  );
}

function Ants({ ants }: { ants: Ant[] }) {
  const may = useMay()("operator");
  if (ants.length === 0) {
    return (
      <Panel>
        <Empty title="No ant has come">
          <p>
            This server runs nothing itself. Start one on any machine that can reach it: <code>atta ant --help</code>.
            Jobs wait until one is there.
          </p>
        </Empty>
      </Panel>
    );
  }
  const { used, slots, live } = capacity(ants);
  return (
    <Panel
      flush
      title={`${live} of ${ants.length} live`}
      actions={
        <span className="text-soft">
          {used} of {slots} slots used
        </span>
      }
    >
      <Table
        label="Ants"
        head={["Ant", "State", "Slots", "Tags", "Works on", "Last heard of", ...(may ? ["Actions"] : [])]}
      >
        {ants.map((ant) => (
          <AntRow key={ant.ant_id} ant={ant} may={may} />
        ))}
      </Table>
    </Panel>
  );
}

function AntRow({ ant, may }: { ant: Ant; may: boolean }) {
  const queries = useQueryClient();
  const state = states[ant.state];
  const mode = modes[ant.mode];
  const order = (what: Order) => async () => {
    await confirm({
      ...question(what, ant),
      run: async () => {
        const params = { params: { path: { id: ant.ant_id } } };
        if (what === "cordon") await data(api.POST("/api/v1/ants/{id}/cordon", params));
        else if (what === "drain") await data(api.POST("/api/v1/ants/{id}/drain", params));
        else await data(api.POST("/api/v1/ants/{id}/uncordon", params));
        await queries.invalidateQueries({ queryKey: ants.queryKey });
      },
    });
  };
  const emptied = ant.mode === "DRAINING" && ant.used === 0;
  return (
    <tr>
      <Cell className="min-w-32 font-medium break-all">{ant.ant_id}</Cell>
      <Cell>
        <div className="flex flex-wrap gap-1">
          <Badge tone={state.tone} title={state.means}>
            <state.icon aria-hidden size={13} />
            {state.word}
          </Badge>
          {ant.mode !== "OPEN" && <Badge tone={mode.tone}>{mode.word}</Badge>}
        </div>
        {ant.spool?.since && (
          <p className="mt-1 text-xs text-soft">
            {bytes(ant.spool.bytes)} of output wait on its disk since <Time at={ant.spool.since} />
          </p>
        )}
        {emptied && <p className="mt-1 text-xs text-soft">It has no work and may be taken away.</p>}
      </Cell>
      <Cell>
        <div className="w-28">
          <Meter label={`Slots of ${ant.ant_id}`} used={ant.used} limit={ant.slots} calm />
          <span className="text-xs text-soft">
            {ant.used} of {ant.slots}
          </span>
        </div>
      </Cell>
      <Cell>
        {ant.tags.length === 0 ? (
          <span className="text-soft">none</span>
        ) : (
          <ul className="flex flex-wrap gap-1">
            {ant.tags.map((tag) => (
              <li key={tag} className="rounded bg-raised px-1.5 py-0.5 font-mono text-xs break-all">
                {tag}
              </li>
            ))}
          </ul>
        )}
      </Cell>
      <Cell>
        {ant.attempts.length === 0 ? (
          <span className="text-soft">nothing</span>
        ) : (
          <ul className="flex flex-col gap-0.5">
            {ant.attempts.slice(0, 5).map((attempt) => {
              const job = jobOf(attempt);
              return (
                <li key={attempt} className="font-mono text-xs">
                  {job === undefined ? (
                    attempt
                  ) : (
                    <Link to="/jobs/$id" params={{ id: job }} className="text-accent underline">
                      …{attempt.slice(-12)}
                    </Link>
                  )}
                </li>
              );
            })}
            {ant.attempts.length > 5 && <li className="text-xs text-soft">and {ant.attempts.length - 5} more</li>}
          </ul>
        )}
      </Cell>
      <Cell className="whitespace-nowrap">
        {ant.last_heard_at ? <Time at={ant.last_heard_at} /> : <span className="text-soft">not yet</span>}
        <div className="text-xs text-soft">
          since <Time at={ant.since} />
        </div>
      </Cell>
      {may && (
        <Cell>
          <div className="flex gap-1">
            {ant.mode === "OPEN" ? (
              <>
                <Button aria-label={`Cordon ${ant.ant_id}`} onClick={order("cordon")}>
                  Cordon
                </Button>
                <Button aria-label={`Drain ${ant.ant_id}`} onClick={order("drain")}>
                  Drain
                </Button>
              </>
            ) : (
              <>
                <Button aria-label={`Uncordon ${ant.ant_id}`} onClick={order("uncordon")}>
                  Uncordon
                </Button>
                {ant.mode === "CORDONED" && (
                  <Button aria-label={`Drain ${ant.ant_id}`} onClick={order("drain")}>
                    Drain
                  </Button>
                )}
              </>
            )}
          </div>
        </Cell>
      )}
    </tr>
  );
}
