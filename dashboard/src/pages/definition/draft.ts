import { useCallback, useRef, useState } from "react";

/** What is being written of a definition. */
export interface Draft {
  text: string;
  /** The version that it was made from; empty for a new definition. */
  base: string;
}

export type SetDraft = (next: Draft | undefined | ((before: Draft | undefined) => Draft | undefined)) => void;

const keyOf = (name: string) => `atta.draft ${name}`;

function read(name: string): Draft | undefined {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(keyOf(name)) ?? "null");
    if (typeof kept !== "object" || kept === null) return undefined;
    const { text, base } = kept as Record<string, unknown>;
    return typeof text === "string" && typeof base === "string" ? { text, base } : undefined;
  } catch {
    // Somebody else has written there: it is no draft of ours.
    return undefined;
  }
}

function keep(name: string, draft: Draft | undefined) {
  try {
    if (draft !== undefined) return sessionStorage.setItem(keyOf(name), JSON.stringify(draft));
  } catch {
    // The tab may keep no more. What is there is older than what is written: nothing is better.
  }
  sessionStorage.removeItem(keyOf(name));
}

/**
 * What is being written of a definition. The tab keeps it until it is saved or thrown away: it is there again when the page
 * was taken away meanwhile, as when a token has run out, and when the page is loaded anew.
 */
export function useDraft(name: string): [Draft | undefined, SetDraft] {
  const [draft, setDraft] = useState(() => read(name));
  const latest = useRef(draft);
  const change = useCallback<SetDraft>(
    (next) => {
      // At once, and not when the page is drawn: it may be on its way out.
      latest.current = typeof next === "function" ? next(latest.current) : next;
      keep(name, latest.current);
      setDraft(latest.current);
    },
    [name],
  );
  return [draft, change];
}
