export interface Coming {
  at: string;
  type: string;
}

/** The next runs of all schedules, the first one first. */
export function coming(
  schedules: readonly { type: string; first: string | null | undefined; next: readonly string[] }[],
  most: number,
): Coming[] {
  const runs = schedules.flatMap(({ type, first, next }) => {
    const times = new Map<number, string>();
    for (const at of first == null ? next : [first, ...next]) times.set(Date.parse(at), at);
    return [...times].map(([time, at]) => ({ time, at, type }));
  });
  runs.sort((a, b) => a.time - b.time || a.type.localeCompare(b.type));
  return runs.slice(0, most).map(({ at, type }) => ({ at, type }));
}
