import { useSyncExternalStore } from "react";

/** A value that lives outside of components: those that show it are drawn anew when it changes. */
export class Shared<T> {
  #value: T;
  readonly #watchers = new Set<() => void>();

  constructor(first: T) {
    this.#value = first;
  }

  get = (): T => this.#value;

  set = (value: T): void => {
    this.#value = value;
    for (const watcher of this.#watchers) watcher();
  };

  /** Calls back at each change. Returns what ends that. */
  watch = (watcher: () => void) => {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  };
}

export function useShared<T>(shared: Shared<T>): T {
  return useSyncExternalStore(shared.watch, shared.get);
}
