const tabs = ["overview", "run", "edit", "versions"] as const;
export type Tab = (typeof tabs)[number];

/** What the address of a definition's page says beyond its name. */
export interface DefinitionSearch {
  tab?: Tab;
  /** The versions that are compared. */
  from?: string;
  to?: string;
}

export function definitionSearch(search: Record<string, unknown>): DefinitionSearch {
  const tab = tabs.find((each) => each === search.tab);
  return {
    ...(tab === undefined ? {} : { tab }),
    // A hash of digits only is read as a number.
    ...(search.from === undefined ? {} : { from: String(search.from) }),
    ...(search.to === undefined ? {} : { to: String(search.to) }),
  };
}
