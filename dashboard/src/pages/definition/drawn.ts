import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { draw } from "../../graph/draw";
import { type GraphModel, withoutSelves } from "../../graph/model";

/**
 * The picture of a text: the server's, if it could read it; otherwise what can be understood of it, found beside the
 * page's own work. The last picture stays until there is another one.
 */
export function useDrawn(source: string, known: GraphModel | null | undefined, asked: boolean): GraphModel | undefined {
  const own = useQuery({
    queryKey: ["definitions", "drawn", source],
    enabled: asked && known == null,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    placeholderData: (before) => before,
    queryFn: async () => (await draw(source)).graph,
  });
  const graph = known ?? own.data;
  return useMemo(() => graph && withoutSelves(graph), [graph]);
}
