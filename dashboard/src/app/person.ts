import { useSyncExternalStore } from "react";

// Who votes, on a server that asks for no token and believes what it is told (docs/approvals.md).
const key = "atta.person";
const watchers = new Set<() => void>();

/** What the server takes for a name. */
export const isName = (text: string) => /^[\p{L}\p{N}][\p{L}\p{N}._@+-]{0,99}$/u.test(text);

export function setPerson(name: string) {
  localStorage.setItem(key, name);
  for (const watcher of watchers) watcher();
}

export const person = () => localStorage.getItem(key) ?? "";

/** The name in which this browser votes; empty when nobody has said it. */
export function usePerson(): string {
  return useSyncExternalStore((watcher) => {
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  }, person);
}
