import { Shared, useShared } from "../ui/shared";

// Who votes, on a server that asks for no token and believes what it is told (docs/approvals.md).
const key = "atta.person";
const known = new Shared(localStorage.getItem(key) ?? "");

/** What the server takes for a name. */
export const isName = (text: string) => /^[\p{L}\p{N}][\p{L}\p{N}._@+-]{0,99}$/u.test(text);

export function setPerson(name: string) {
  localStorage.setItem(key, name);
  known.set(name);
}

export const person = known.get;

/** The name in which this browser votes; empty when nobody has said it. */
export const usePerson = (): string => useShared(known);
