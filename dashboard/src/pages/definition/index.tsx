import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import type { Api } from "../../api/client";
import { OnlyFor, useMay } from "../../app/caller";
import { cn } from "../../ui/cn";
import { confirm } from "../../ui/confirm";
import { ErrorBox, Loaded, PageHeader } from "../../ui/kit";
import { Badge } from "../../ui/state";
import { Time } from "../../ui/time";
import { EnableButton } from "../definitions/enable";
import { type Draft, type SetDraft, useDraft } from "./draft";
import { DryRun } from "./dry-run";
import { Editing } from "./editing";
import { Overview } from "./overview";
import { type Filled, RunForm } from "./run";
import type { Tab } from "./search";
import { definitionQuery, useVersion } from "./version";
import { Versions } from "./versions";

const tabs: { tab: Tab; label: string; needs: Api<"Role"> }[] = [
  { tab: "overview", label: "Overview", needs: "viewer" },
  { tab: "run", label: "Run", needs: "submitter" },
  { tab: "dry-run", label: "Dry run", needs: "viewer" },
  { tab: "edit", label: "Edit", needs: "admin" },
  { tab: "versions", label: "Versions", needs: "viewer" },
];

export function DefinitionPage() {
  const { type } = useParams({ from: "/definitions/$type" });
  const definition = useQuery(definitionQuery(type));
  return <Loaded query={definition}>{(found) => <WithSource key={type} definition={found} />}</Loaded>;
}

function WithSource({ definition }: { definition: Api<"DefinitionResource"> }) {
  // The page stays as it is until a newer version has come: somebody may be writing there.
  const source = useVersion(definition.job_type, definition.version, true);
  // What is being written or filled in stays when another tab is looked at, and when the version cannot be had.
  const [draft, setDraft] = useDraft(definition.job_type);
  const [filled, setFilled] = useState<Filled>();
  return (
    <Loaded query={source}>
      {(found) => (
        <Page
          definition={definition}
          found={found}
          draft={draft}
          onDraft={setDraft}
          filled={filled}
          onFilled={setFilled}
        />
      )}
    </Loaded>
  );
}

function Page({
  definition,
  found,
  draft,
  onDraft,
  filled,
  onFilled,
}: {
  definition: Api<"DefinitionResource">;
  /** Its newest version, or for a moment the one before. */
  found: Api<"VersionResource">;
  draft: Draft | undefined;
  onDraft: SetDraft;
  filled: Filled | undefined;
  onFilled: (filled: Filled) => void;
}) {
  const { tab = "overview" } = useSearch({ from: "/definitions/$type" });
  const may = useMay();
  const shown = tabs.filter((each) => each.tab === tab || may(each.needs));
  const { job_type, semver, version, enabled, degraded, updated_at, warnings } = definition;
  const { source, graph } = found;
  const editFrom = async (text: string) => {
    const written = draft !== undefined && draft.text !== source && draft.text !== text;
    const sure =
      !written ||
      (await confirm({
        title: "Throw away what you have written?",
        body: "What you have changed under Edit is not saved. The text of this version takes its place.",
        action: "Edit from this one",
        keep: "Keep mine",
        danger: true,
      }));
    if (sure) onDraft({ text, base: found.version });
    return sure;
  };
  return (
    <>
      <PageHeader
        title={job_type}
        lead={
          <span className="flex flex-wrap items-center gap-x-2 gap-y-1 text-sm">
            <span className="font-mono" title={`Version ${version}`}>
              {semver ?? version.slice(0, 8)}
            </span>
            <span>
              stored <Time at={updated_at} />
            </span>
            {!enabled && <Badge tone="idle">Disabled</Badge>}
          </span>
        }
      >
        <EnableButton definition={definition} />
      </PageHeader>
      {degraded && (
        <div className="mb-4">
          <ErrorBox error={new Error(`Its schedule cannot be followed: ${degraded}`)} />
        </div>
      )}
      {warnings.length > 0 && tab !== "edit" && (
        <ul className="mb-4 rounded-md border border-line bg-ask-soft p-3 text-ask">
          {warnings.map((each) => (
            <li key={`${each.field} ${each.message}`} className="break-words">
              {each.message}
            </li>
          ))}
        </ul>
      )}
      <nav aria-label="Parts of this page" className="mb-4 flex gap-1 overflow-x-auto border-b border-line">
        {shown.map((each) => (
          <Link
            key={each.tab}
            to="/definitions/$type"
            params={{ type: job_type }}
            search={each.tab === "overview" ? {} : { tab: each.tab }}
            aria-current={each.tab === tab ? "page" : undefined}
            className={cn(
              "-mb-px border-b-2 px-3 py-2 font-medium whitespace-nowrap",
              each.tab === tab ? "border-accent text-accent" : "border-transparent text-soft hover:text-text",
            )}
          >
            {each.label}
            {each.tab === "edit" && draft && draft.text !== source && <span title="Not saved"> •</span>}
          </Link>
        ))}
      </nav>
      {tab === "overview" && <Overview definition={definition} found={found} />}
      {tab === "run" && (
        <OnlyFor needed="submitter" to="run it">
          <RunForm definition={definition} found={found} filled={filled} onFilled={onFilled} />
        </OnlyFor>
      )}
      {tab === "dry-run" && <DryRun definition={definition} source={source} known={graph} />}
      {tab === "edit" && (
        <OnlyFor needed="admin" to="change definitions">
          <Editing definition={definition} source={source} version={found.version} draft={draft} onDraft={onDraft} />
        </OnlyFor>
      )}
      {tab === "versions" && <Versions definition={definition} onEdit={editFrom} />}
    </>
  );
}
