import { useMemo } from "react";
import { api, data } from "../../api/client";
import { given, usePaged } from "../../api/paged";
import { OnlyFor } from "../../app/caller";
import { useFilters } from "../../app/filters";
import { FilterBar, Select, ShowMore, TextField } from "../../ui/field";
import { Button, Cell, Empty, Loaded, PageHeader, Panel, Table } from "../../ui/kit";
import { Time } from "../../ui/time";
import { matching, valuesOf } from "./matching";

/** So many characters of a detail are always shown. */
const beginning = 120;

export function AuditPage() {
  return (
    <OnlyFor needed="admin" to="see who changed what" title="Audit">
      <Audit />
    </OnlyFor>
  );
}

function Audit() {
  const [filters, filter] = useFilters(["user", "action", "text"]);
  const list = usePaged(["audit"], (cursor) =>
    data(api.GET("/api/v1/audit", { params: { query: given({ cursor, limit: 200 }) } })),
  );
  const loaded = list.data;
  const users = useMemo(() => valuesOf(loaded ?? [], "user", filters.user), [loaded, filters.user]);
  const actions = useMemo(() => valuesOf(loaded ?? [], "action", filters.action), [loaded, filters.action]);
  const shown = useMemo(() => matching(loaded ?? [], filters), [loaded, filters]);
  const filtered = Object.values(filters).some((value) => value !== "");
  return (
    <>
      <PageHeader title="Audit" lead="Every change that somebody made with a token, the newest first." />
      <FilterBar label="Which changes">
        <Select
          label="Who"
          value={filters.user}
          onChange={(user) => filter({ user })}
          options={[["", "Everybody"], ...users]}
        />
        <Select
          label="What"
          value={filters.action}
          onChange={(action) => filter({ action })}
          options={[["", "Everything"], ...actions]}
        />
        <TextField
          type="search"
          label="On what, detail, token or request contains"
          value={filters.text}
          onText={(text) => filter({ text })}
        />
        {filtered && (
          <Button look="quiet" onClick={() => filter({ user: "", action: "", text: "" })}>
            Show all
          </Button>
        )}
      </FilterBar>
      <Panel flush>
        <Loaded query={list}>
          {(items) =>
            items.length === 0 ? (
              <Empty title="Nothing was changed with a token yet">
                <p>
                  On its own machine a server asks for no token, and then nothing is written here.{" "}
                  <code>atta serve --auth required</code> asks for one always; each person gets one of their own under
                  Tokens.
                </p>
              </Empty>
            ) : (
              <>
                <p role="status" className="border-b border-line px-4 py-2 text-xs text-soft">
                  {filtered
                    ? `${shown.length} of the ${items.length} changes that are loaded`
                    : `${items.length} changes are loaded`}
                  {list.hasNextPage ? "; there are older ones" : ""}
                </p>
                <Table label="Changes" head={["When", "Who", "What", "On what", "Request"]}>
                  {shown.map((entry) => (
                    <tr key={entry.sequence}>
                      <Cell className="whitespace-nowrap">
                        <Time at={entry.at} />
                      </Cell>
                      <Cell>
                        <span className="block min-w-24 font-medium break-all">{entry.user}</span>
                        <div className="text-xs break-all text-soft">token {entry.token}</div>
                      </Cell>
                      <Cell className="font-mono text-xs">{entry.action}</Cell>
                      <Cell className="max-w-96 font-mono text-xs break-all">
                        {entry.target}
                        {entry.detail && <Detail text={entry.detail} />}
                      </Cell>
                      <Cell className="font-mono text-xs whitespace-nowrap text-soft">{entry.request_id}</Cell>
                    </tr>
                  ))}
                </Table>
                {shown.length === 0 && <Empty title="None of them matches">Show more of them, or look for less.</Empty>}
              </>
            )
          }
        </Loaded>
        {loaded !== undefined && <ShowMore query={list} />}
      </Panel>
    </>
  );
}

/** What else there is to say, such as what was typed into a terminal: its beginning, when it is long. */
function Detail({ text }: { text: string }) {
  const words = <bdi className="break-all whitespace-pre-wrap">{text}</bdi>;
  if (text.length <= beginning) return <p className="mt-1 text-soft">{words}</p>;
  return (
    <details className="mt-1 text-soft">
      <summary className="min-h-target cursor-pointer">
        <bdi>{text.slice(0, beginning)}</bdi>…
      </summary>
      {words}
    </details>
  );
}
