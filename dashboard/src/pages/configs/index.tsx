import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Lock, Plus } from "lucide-react";
import { useState } from "react";
import { type Api, api, data } from "../../api/client";
import { all, given } from "../../api/paged";
import { useMay } from "../../app/caller";
import { useFilters } from "../../app/filters";
import { useDefinitionNames } from "../../app/overview";
import { confirm } from "../../ui/confirm";
import { FilterBar, Select, Source } from "../../ui/field";
import { Button, Cell, Empty, Loaded, PageHeader, Panel, Table } from "../../ui/kit";
import { Badge } from "../../ui/state";
import { Time } from "../../ui/time";
import { SetConfig } from "./set";
import { Keys } from "./status";

type Config = Api<"ConfigResource">;

export function ConfigsPage() {
  const [{ definition }, filter] = useFilters(["definition"]);
  const [setting, setSetting] = useState<Config | "config" | "secret">();
  const queries = useQueryClient();
  const may = useMay()("admin");
  const list = useQuery({
    queryKey: ["configs", definition],
    queryFn: () =>
      all((cursor) => {
        const query = given({ cursor, limit: 500 });
        return definition === ""
          ? data(api.GET("/api/v1/configs", { params: { query } }))
          : data(
              api.GET("/api/v1/definitions/{job_type}/configs", { params: { path: { job_type: definition }, query } }),
            );
      }),
    refetchOnWindowFocus: "always",
  });
  const names = useDefinitionNames(definition);
  const refresh = async () => {
    await queries.invalidateQueries({ queryKey: ["configs"] });
    await queries.invalidateQueries({ queryKey: ["secrets"] });
  };
  return (
    <>
      <PageHeader
        title="Configs and secrets"
        lead="Values that definitions use and should not contain. Nobody sees the value of a secret again."
      >
        {may && (
          <>
            <Button onClick={() => setSetting("config")}>
              <Plus aria-hidden size={15} /> Config…
            </Button>
            <Button look="primary" onClick={() => setSetting("secret")}>
              <Lock aria-hidden size={15} /> Secret…
            </Button>
          </>
        )}
      </PageHeader>
      <FilterBar label="Whose configs">
        <Select
          label="Belong to"
          value={definition}
          onChange={(value) => filter({ definition: value })}
          options={[["", "The organisation"], ...names]}
        />
      </FilterBar>
      <div className="flex flex-col gap-4">
        <Panel flush>
          <Loaded query={list}>
            {(configs) =>
              configs.length === 0 ? (
                <Empty title={definition === "" ? "Nothing is set" : `${definition} has none of its own`}>
                  <p>
                    A definition says <code>{"{{ configs.Region }}"}</code> for a config, and{" "}
                    <code>{"{{ secrets.ApiToken }}"}</code> in a task's environment for a secret.
                    {definition !== "" && " What is not set here is looked for in the organisation."}
                  </p>
                </Empty>
              ) : (
                <Table label="Configs and secrets" head={["Name", "Value", "Set", ...(may ? ["Actions"] : [])]}>
                  {configs.map((config) => (
                    <ConfigRow
                      key={config.name}
                      config={config}
                      refresh={refresh}
                      replace={may ? () => setSetting(config) : undefined}
                    />
                  ))}
                </Table>
              )
            }
          </Loaded>
        </Panel>
        <Keys />
      </div>
      {setting !== undefined && (
        <SetConfig
          definition={definition}
          what={setting}
          existing={(list.data ?? []).map((config) => config.name)}
          onClose={() => setSetting(undefined)}
          refresh={refresh}
        />
      )}
    </>
  );
}

function ConfigRow({
  config,
  refresh,
  replace,
}: {
  config: Config;
  refresh: () => Promise<void>;
  /** Nothing for those who may only look. */
  replace: (() => void) | undefined;
}) {
  const { name, job_type, secret } = config;
  const remove = () =>
    confirm({
      title: `Remove ${name}?`,
      body: `Jobs that need it are refused from now on, schedules that need it skip, and an attempt that is about to start with it fails. ${secret ? "Its value cannot be brought back." : ""}`,
      action: "Remove",
      danger: true,
      done: `${name} is removed.`,
      run: async () => {
        await (job_type == null
          ? data(api.DELETE("/api/v1/configs/{name}", { params: { path: { name } } }))
          : data(
              api.DELETE("/api/v1/definitions/{job_type}/configs/{name}", { params: { path: { job_type, name } } }),
            ));
        await refresh();
      },
    });
  return (
    <tr>
      <Cell className="min-w-36 font-mono text-sm font-medium break-all">{name}</Cell>
      <Cell className="max-w-96">
        {secret ? (
          <Badge tone="idle">
            <Lock aria-hidden size={12} /> Secret, not shown
          </Badge>
        ) : (
          <Value name={name} value={config.value} />
        )}
      </Cell>
      <Cell className="whitespace-nowrap">
        <Time at={config.updated_at} />
        {config.created_at !== config.updated_at && (
          <div className="text-xs text-soft">
            first <Time at={config.created_at} />
          </div>
        )}
      </Cell>
      {replace && (
        <Cell>
          <div className="flex gap-1">
            <Button aria-label={`Replace ${name}`} onClick={replace}>
              Replace…
            </Button>
            <Button look="danger" aria-label={`Remove ${name}`} onClick={() => void remove()}>
              Remove…
            </Button>
          </div>
        </Cell>
      )}
    </tr>
  );
}

function Value({ name, value }: { name: string; value: unknown }) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (text.length > 200) return <Source label={`Value of ${name}`} text={text} />;
  return <code className="block text-xs whitespace-pre-wrap break-all">{text}</code>;
}
