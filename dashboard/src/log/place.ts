import type { Range } from "./viewport";

/** How the address of a page names lines of an attempt's log: `log3-L120` or `log3-L120-L140`, counted from 1. */
export function toHash(attempt: number, { first, last }: Range): string {
  return first === last ? `log${attempt}-L${first + 1}` : `log${attempt}-L${first + 1}-L${last + 1}`;
}

/** The attempt and the lines that a hash names, if it names some. */
export function fromHash(hash: string): ({ attempt: number } & Range) | undefined {
  const found = /^#?log(\d+)-L(\d+)(?:-L(\d+))?$/.exec(hash);
  if (!found) return undefined;
  const one = Math.max(0, Number(found[2]) - 1);
  const other = found[3] === undefined ? one : Math.max(0, Number(found[3]) - 1);
  return { attempt: Number(found[1]), first: Math.min(one, other), last: Math.max(one, other) };
}
