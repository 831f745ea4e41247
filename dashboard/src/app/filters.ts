import { useNavigate, useRouterState } from "@tanstack/react-router";

/** What the URL of a page says behind its "?", and how to change it: so that what one sees can be shared. */
export function useFilters<Name extends string>(names: readonly Name[]) {
  const search = useRouterState({ select: (state) => state.location.search as Record<string, unknown> });
  const navigate = useNavigate();
  const values = Object.fromEntries(
    names.map((name) => [name, search[name] == null ? "" : String(search[name])]),
  ) as Record<Name, string>;
  const change = (changes: Partial<Record<Name, string>>) => {
    const next = { ...search, ...changes };
    const kept = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== undefined && value !== ""));
    // The page is not known here, so its search is not either.
    void navigate({ to: ".", search: kept as never, replace: true });
  };
  return [values, change] as const;
}
