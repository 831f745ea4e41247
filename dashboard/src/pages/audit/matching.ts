import type { Api } from "../../api/client";

type Entry = Api<"AuditEntry">;

export interface AuditFilters {
  user: string;
  action: string;
  text: string;
}

/** The entries that somebody wants to see. */
export function matching(entries: readonly Entry[], { user, action, text }: AuditFilters): Entry[] {
  const part = text.trim().toLowerCase();
  return entries.filter(
    (entry) =>
      (user === "" || entry.user === user) &&
      (action === "" || entry.action === action) &&
      (part === "" ||
        [entry.target, entry.detail ?? "", entry.token, entry.request_id].some((each) =>
          each.toLowerCase().includes(part),
        )),
  );
}

/** What there is to choose from; what is chosen stays in it. */
export function valuesOf(entries: readonly Entry[], field: "user" | "action", chosen: string): string[] {
  const values = new Set(entries.map((entry) => entry[field]));
  if (chosen !== "") values.add(chosen);
  return [...values].sort((a, b) => a.localeCompare(b));
}
