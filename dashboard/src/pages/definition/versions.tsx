import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type Api, api, data } from "../../api/client";
import { given, usePaged } from "../../api/paged";
import { useMay } from "../../app/caller";
import { YamlDiff } from "../../editor";
import { ShowMore } from "../../ui/field";
import { Button, Loaded, Panel } from "../../ui/kit";
import { Badge } from "../../ui/state";
import { Time } from "../../ui/time";
import { useVersion } from "./version";

/** The versions of a definition, and what changed between any two of them. */
export function Versions({
  definition,
  onEdit,
}: {
  definition: Api<"DefinitionResource">;
  /** Begins to edit a text; false when what is being written already is kept. */
  onEdit: (text: string) => Promise<boolean>;
}) {
  const { job_type, version: newest } = definition;
  const search = useSearch({ from: "/definitions/$type" });
  const versions = usePaged(["definitions", "versions", job_type, newest], (cursor) =>
    data(
      api.GET("/api/v1/definitions/{job_type}/versions", {
        params: { path: { job_type }, query: given({ cursor, limit: 50 }) },
      }),
    ),
  );
  return (
    <Loaded query={versions}>
      {(all) => {
        const to = search.to ?? newest;
        const at = all.findIndex((each) => each.version === to);
        const from = search.from ?? all[at + 1]?.version;
        return (
          <div className="grid items-start gap-4 xl:grid-cols-[22rem_1fr]">
            <Panel title="Versions, newest first" flush>
              <ol className="divide-y divide-line">
                {all.map((each, index) => (
                  <Row
                    key={each.version}
                    version={each}
                    newest={each.version === newest}
                    before={all[index + 1]?.version}
                    from={from}
                    to={to}
                  />
                ))}
              </ol>
              <ShowMore query={versions} />
            </Panel>
            <Compared job_type={job_type} from={from} to={to} onEdit={onEdit} />
          </div>
        );
      }}
    </Loaded>
  );
}

function Row({
  version: { job_type, version, semver, created_at },
  newest,
  before,
  from,
  to,
}: {
  version: Api<"VersionSummary">;
  newest: boolean;
  before: string | undefined;
  from: string | undefined;
  to: string;
}) {
  const link = (label: string, search: { from?: string; to?: string }, current: boolean, about: string) => (
    <Link
      to="/definitions/$type"
      params={{ type: job_type }}
      search={{ tab: "versions", ...search }}
      aria-label={about}
      aria-current={current || undefined}
      className={`rounded px-1.5 py-1 text-xs ${current ? "bg-accent-soft font-medium text-accent" : "text-soft hover:bg-raised"}`}
    >
      {label}
    </Link>
  );
  const name = semver ?? version.slice(0, 8);
  return (
    <li className="flex flex-wrap items-center justify-between gap-2 px-4 py-2">
      <span className="min-w-0">
        <span className="font-mono break-all" title={version}>
          {name}
        </span>{" "}
        {newest && <Badge tone="ok">Newest</Badge>}
        <Time at={created_at} className="block text-xs text-soft" />
      </span>
      <span className="flex gap-1">
        {link("from", { from: version, to }, version === from, `Compare from ${name}`)}
        {link("to", { ...(from === undefined ? {} : { from }), to: version }, version === to, `Compare to ${name}`)}
        {link(
          "changes",
          { ...(before === undefined ? {} : { from: before }), to: version },
          false,
          `What ${name} changed`,
        )}
      </span>
    </li>
  );
}

function Compared({
  job_type,
  from,
  to,
  onEdit,
}: {
  job_type: string;
  from: string | undefined;
  to: string;
  onEdit: (text: string) => Promise<boolean>;
}) {
  const navigate = useNavigate();
  const may = useMay();
  const before = useVersion(job_type, from);
  const after = useVersion(job_type, to);
  const name = (version: Api<"VersionResource">) => version.semver ?? version.version.slice(0, 8);
  return (
    <Loaded query={after}>
      {(after) => {
        const actions = may("admin") && (
          <Button
            look="quiet"
            onClick={() => {
              void onEdit(after.source).then((sure) => {
                if (sure)
                  void navigate({ to: "/definitions/$type", params: { type: job_type }, search: { tab: "edit" } });
              });
            }}
          >
            Edit from this one
          </Button>
        );
        if (from === undefined)
          return (
            <Panel title={`The first version: ${name(after)}`} actions={actions} flush>
              <YamlDiff before={after.source} after={after.source} label="The definition" />
            </Panel>
          );
        return (
          <Loaded query={before}>
            {(before) => (
              <Panel title={`From ${name(before)} to ${name(after)}`} actions={actions} flush>
                {before.source === after.source ? (
                  <p className="p-4 text-soft">They are the same.</p>
                ) : (
                  <YamlDiff before={before.source} after={after.source} label="What changed" />
                )}
              </Panel>
            )}
          </Loaded>
        );
      }}
    </Loaded>
  );
}
