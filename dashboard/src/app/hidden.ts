import { useSyncExternalStore } from "react";

// Blocked jobs that somebody has dealt with elsewhere. The server does not know of that: it is kept in this browser.
const key = "atta.hidden";
const most = 500;
const watchers = new Set<() => void>();
let known = read();

function read(): ReadonlySet<string> {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(key) ?? "[]");
    return new Set(Array.isArray(list) ? list.filter((each) => typeof each === "string") : []);
  } catch {
    return new Set();
  }
}

function write(next: ReadonlySet<string>) {
  known = next;
  localStorage.setItem(key, JSON.stringify([...next].slice(-most)));
  for (const watcher of watchers) watcher();
}

export const hide = (each: string) => write(new Set([...known, each]));
export const unhide = (each: string) => write(new Set([...known].filter((other) => other !== each)));

export function useHidden(): ReadonlySet<string> {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => known,
  );
}
