import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { Shell } from "./app/shell";
import { definitionSearch } from "./pages/definition/search";
import { readSearch as readJobSearch } from "./pages/job/job";
import { readSearch } from "./pages/jobs/search";
import { Empty, ErrorBox } from "./ui/kit";

const root = createRootRoute({
  component: Shell,
  errorComponent: ({ error }) => <ErrorBox error={error} />,
  notFoundComponent: () => <Empty title="There is no such page">Pages are listed on the left.</Empty>,
});

// One line per page; each is a chunk of its own.
const routes = [
  createRoute({
    getParentRoute: () => root,
    path: "/",
    component: lazyRouteComponent(() => import("./pages/now"), "NowPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/jobs",
    validateSearch: readSearch,
    component: lazyRouteComponent(() => import("./pages/jobs"), "JobsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/jobs/$id",
    validateSearch: readJobSearch,
    component: lazyRouteComponent(() => import("./pages/job"), "JobPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/jobs/$id/attempts/$number/terminal",
    component: lazyRouteComponent(() => import("./pages/terminal"), "TerminalPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/definitions",
    component: lazyRouteComponent(() => import("./pages/definitions"), "DefinitionsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    // No definition has a name like this.
    path: "/definitions/+new",
    component: lazyRouteComponent(() => import("./pages/definition/new"), "NewDefinitionPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/definitions/$type",
    validateSearch: definitionSearch,
    component: lazyRouteComponent(() => import("./pages/definition"), "DefinitionPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/schedules",
    component: lazyRouteComponent(() => import("./pages/schedules"), "SchedulesPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/outcomes",
    component: lazyRouteComponent(() => import("./pages/outcomes"), "OutcomesPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/budgets",
    component: lazyRouteComponent(() => import("./pages/budgets"), "BudgetsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/ants",
    component: lazyRouteComponent(() => import("./pages/ants"), "AntsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/configs",
    component: lazyRouteComponent(() => import("./pages/configs"), "ConfigsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/triggers",
    component: lazyRouteComponent(() => import("./pages/triggers"), "TriggersPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/notifications",
    component: lazyRouteComponent(() => import("./pages/notifications"), "NotificationsPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/tokens",
    component: lazyRouteComponent(() => import("./pages/tokens"), "TokensPage"),
  }),
  createRoute({
    getParentRoute: () => root,
    path: "/audit",
    component: lazyRouteComponent(() => import("./pages/audit"), "AuditPage"),
  }),
];

export const router = createRouter({
  routeTree: root.addChildren(routes),
  // A page that breaks leaves what is around it as it is.
  defaultErrorComponent: ({ error }) => <ErrorBox error={error} />,
  defaultPreload: "intent",
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
