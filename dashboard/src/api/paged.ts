import { type InfiniteData, type QueryKey, useInfiniteQuery } from "@tanstack/react-query";

interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

/** A list that the server gives in pages: what was fetched so far, and how to go on. */
export function usePaged<T>(queryKey: QueryKey, fetchPage: (cursor: string | undefined) => Promise<Page<T>>) {
  const query = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam }) => fetchPage(pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
    // What no event tells of is looked at anew when somebody comes back to the page, from another one or from elsewhere.
    refetchOnMount: "always",
    refetchOnWindowFocus: "always",
    select: (data: InfiniteData<Page<T>>) => data.pages.flatMap((page) => page.items),
  });
  return query;
}

/** All pages of a list that is short by its nature, such as definitions. */
export async function all<T>(fetchPage: (cursor: string | undefined) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const page = await fetchPage(cursor);
    items.push(...page.items);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  return items;
}

/** The parts of a query that say something: without those that are undefined or empty. */
export function given<T extends Record<string, unknown>>(
  query: T,
): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined && value !== "")) as {
    [Name in keyof T]?: Exclude<T[Name], undefined>;
  };
}
