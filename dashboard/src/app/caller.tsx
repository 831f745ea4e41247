import { queryOptions, useQuery } from "@tanstack/react-query";
import { type Api, api, data, token } from "../api/client";
import { Busy, Empty, PageHeader, Panel } from "../ui/kit";
import { covers } from "./role";

type Role = Api<"Role">;

export const callerQuery = queryOptions({
  queryKey: ["whoami"],
  queryFn: () => data(api.GET("/api/v1/whoami")),
});

/** Forgets the token; the page asks for another one, if the server does. */
export function signOut() {
  token.forget();
  window.location.reload();
}

/** Whether the caller may do what needs a role. As long as nobody knows who that is, they may only look. */
export function useMay(): (needed: Role) => boolean {
  const { data: caller, isError } = useQuery(callerQuery);
  // What is offered wrongly is refused by the server, with the reason.
  return (needed) => (caller === undefined ? isError : covers(caller.role, needed));
}

/** In the place of buttons that are not offered: whose they are. Nothing for who may press them. */
export function NotYours({ needed, to, className }: { needed: Role; to: string; className?: string }) {
  const { data: caller } = useQuery(callerQuery);
  if (caller === undefined || covers(caller.role, needed)) return null;
  return (
    <p className={className ?? "text-xs text-soft"}>
      To {to}, the role {needed} is needed; you have {caller.role}.
    </p>
  );
}

/** A page, or a part of one, that makes sense for one role only. Others are told so, and nothing is asked for. */
export function OnlyFor({
  needed,
  to,
  title,
  children,
}: {
  needed: Role;
  to: string;
  /** The heading of the page; parts of one have none. */
  title?: string;
  children: React.ReactNode;
}) {
  const { isPending } = useQuery(callerQuery);
  const may = useMay();
  if (may(needed)) return children;
  return (
    <>
      {title !== undefined && <PageHeader title={title} />}
      <Panel>
        {isPending ? (
          <Busy />
        ) : (
          <Empty title="This is not for your role">
            <NotYours needed={needed} to={to} className="text-soft" />
          </Empty>
        )}
      </Panel>
    </>
  );
}
