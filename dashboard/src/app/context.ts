import { useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useRef } from "react";
import type { Api } from "../api/client";
import type { Live } from "../api/live";

const context = createContext<Live | undefined>(undefined);

export const LiveProvider = context.Provider;

/** The page's connection to the server. */
export function useLive(): Live {
  const live = useContext(context);
  if (live === undefined) throw new Error("there is no LiveProvider above");
  return live;
}

/**
 * Asks anew for what is much work for the server some time after something has happened, and not with each event of a busy
 * server. What happens while nobody looks is not listened to: it is asked for anew when somebody comes back.
 */
export function useStale(key: string[], matters: (event: Api<"EventResource">) => boolean = () => true) {
  const live = useLive();
  const queries = useQueryClient();
  const asked = useRef({ key, matters });
  asked.current = { key, matters };
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    void queries.invalidateQueries({ queryKey: asked.current.key });
    const stop = live.listen((event) => {
      if (!asked.current.matters(event)) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        void queries.invalidateQueries({ queryKey: asked.current.key });
      }, 3000);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [live, queries]);
}
