import { createContext, useContext } from "react";
import type { Live } from "../api/live";

const context = createContext<Live | undefined>(undefined);

export const LiveProvider = context.Provider;

/** The page's connection to the server. */
export function useLive(): Live {
  const live = useContext(context);
  if (live === undefined) throw new Error("there is no LiveProvider above");
  return live;
}
