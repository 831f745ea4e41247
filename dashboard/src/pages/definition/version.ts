import { useQuery } from "@tanstack/react-query";
import { api, data } from "../../api/client";

/** A version with its text; versions never change. */
export function useVersion(type: string, version: string | undefined) {
  return useQuery({
    queryKey: ["definitions", "version", type, version],
    enabled: version !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () =>
      data(
        api.GET("/api/v1/definitions/{job_type}/versions/{version}", {
          params: { path: { job_type: type, version: version ?? "" } },
        }),
      ),
  });
}
