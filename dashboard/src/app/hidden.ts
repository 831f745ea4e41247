import { Shared, useShared } from "../ui/shared";

// Blocked jobs that somebody has dealt with elsewhere. The server does not know of that: it is kept in this browser.
const key = "atta.hidden";
const most = 500;
const known = new Shared(read());

function read(): ReadonlySet<string> {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(key) ?? "[]");
    return new Set(Array.isArray(list) ? list.filter((each) => typeof each === "string") : []);
  } catch {
    return new Set();
  }
}

function write(next: ReadonlySet<string>) {
  localStorage.setItem(key, JSON.stringify([...next].slice(-most)));
  known.set(next);
}

export const hide = (each: string) => write(new Set([...known.get(), each]));

/** Takes back that these are hidden. */
export const showAgain = (these: readonly string[]) =>
  write(new Set([...known.get()].filter((each) => !these.includes(each))));

export const useHidden = (): ReadonlySet<string> => useShared(known);
