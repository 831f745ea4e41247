import { useQuery } from "@tanstack/react-query";
import { storedVersion } from "../../api/definitions";

/** A version with its text; versions never change. */
export function useVersion(type: string, version: string | undefined) {
  return useQuery({
    queryKey: ["definitions", "version", type, version],
    enabled: version !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => storedVersion(type, version ?? ""),
  });
}
