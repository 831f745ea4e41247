import { type AssumedTexts, readAssumed, readTexts } from "./assumed";

const tabs = ["overview", "run", "dry-run", "edit", "versions"] as const;
export type Tab = (typeof tabs)[number];

/** What the address of a definition's page says beyond its name. */
export interface DefinitionSearch {
  tab?: Tab;
  /** The versions that are compared. */
  from?: string;
  to?: string;
  /** Of a dry run: the parameters, and what is assumed of tasks, as they were written. */
  given?: Record<string, string>;
  assume?: Record<string, AssumedTexts>;
}

export function definitionSearch(search: Record<string, unknown>): DefinitionSearch {
  const tab = tabs.find((each) => each === search.tab);
  return {
    ...(tab === undefined ? {} : { tab }),
    // A hash of digits only is read as a number.
    ...(search.from === undefined ? {} : { from: String(search.from) }),
    ...(search.to === undefined ? {} : { to: String(search.to) }),
    ...readTexts(search.given),
    ...readAssumed(search.assume),
  };
}
