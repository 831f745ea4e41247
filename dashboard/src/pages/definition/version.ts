import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { api, data } from "../../api/client";
import { storedVersion } from "../../api/definitions";

export const definitionQuery = (type: string) =>
  queryOptions({
    queryKey: ["definitions", "one", type],
    queryFn: () => data(api.GET("/api/v1/definitions/{job_type}", { params: { path: { job_type: type } } })),
  });

/** A version with its text; versions never change. With `patient` the one before is given until another has come. */
export function useVersion(type: string, version: string | undefined, patient = false) {
  return useQuery({
    queryKey: ["definitions", "version", type, version],
    enabled: version !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => storedVersion(type, version ?? ""),
    ...(patient && { placeholderData: keepPreviousData }),
  });
}
