import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiError } from "./api/client";
import { Live } from "./api/live";
import { LiveProvider } from "./app/context";
import "./app/nonce";
import { startTheme } from "./app/theme";
import { router } from "./router";
import "./styles.css";

startTheme();
const queries = new QueryClient({
  queryCache: new QueryCache({
    // The stream that is open goes on when a token has run out or was revoked.
    onError: (error) => error instanceof ApiError && error.status === 401 && live.refuse(error),
  }),
  defaultOptions: {
    queries: {
      // Events say what is out of date: nothing is polled.
      staleTime: Number.POSITIVE_INFINITY,
      refetchOnWindowFocus: false,
      retry: (failures, error) => failures < 3 && !(error instanceof ApiError && error.status < 500),
    },
  },
});
const live = new Live(queries);
void live.run();

const place = document.getElementById("root");
if (place === null) throw new Error("the page has no #root");
createRoot(place).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <LiveProvider value={live}>
        <RouterProvider router={router} />
      </LiveProvider>
    </QueryClientProvider>
  </StrictMode>,
);
