import { useQueryClient } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState } from "react";
import { type Api, api, data } from "../../api/client";
import { given, usePaged } from "../../api/paged";
import { OnlyFor } from "../../app/caller";
import { confirm } from "../../ui/confirm";
import { ShowMore } from "../../ui/field";
import { Button, Cell, Empty, Loaded, PageHeader, Panel, Table } from "../../ui/kit";
import { Badge } from "../../ui/state";
import { Time } from "../../ui/time";
import { NewToken } from "./create";

type Token = Api<"TokenResource">;

const key = ["tokens"];

export function TokensPage() {
  return (
    <OnlyFor needed="admin" to="see and make tokens" title="Tokens">
      <Tokens />
    </OnlyFor>
  );
}

function Tokens() {
  const [making, setMaking] = useState(false);
  const list = usePaged(key, (cursor) =>
    data(api.GET("/api/v1/tokens", { params: { query: given({ cursor, limit: 100 }) } })),
  );
  const queries = useQueryClient();
  const refresh = () => queries.invalidateQueries({ queryKey: key });
  return (
    <>
      <PageHeader title="Tokens" lead="What lets people, programs and ants use this server, and how much of it.">
        <Button look="primary" onClick={() => setMaking(true)}>
          <KeyRound aria-hidden size={15} /> New token…
        </Button>
      </PageHeader>
      <Panel flush>
        <Loaded query={list}>
          {(tokens) =>
            tokens.length === 0 ? (
              <Empty title="There is no token">
                On its own machine this server asks for none. Whoever comes from elsewhere, and each ant on another
                machine, needs one.
              </Empty>
            ) : (
              <Table label="Tokens" head={["Token", "Role", "Acts as", "Made", "Last used", "Actions"]}>
                {tokens.map((token) => (
                  <TokenRow key={token.token_id} token={token} refresh={refresh} />
                ))}
              </Table>
            )
          }
        </Loaded>
        {list.data !== undefined && <ShowMore query={list} />}
      </Panel>
      {making && <NewToken onClose={() => setMaking(false)} refresh={refresh} />}
    </>
  );
}

function TokenRow({ token, refresh }: { token: Token; refresh: () => Promise<void> }) {
  const revoke = () =>
    confirm({
      title: `Revoke ${token.name}?`,
      body: `Requests with it are refused from this moment on, and streams that are open with it end. ${token.role === "ant" ? "The ant that uses it loses its connection; its work is lost after a lease." : `Whoever uses it as ${token.user} has to sign in with another one.`} This cannot be undone.`,
      action: "Revoke",
      danger: true,
      done: `${token.name} is revoked.`,
      run: async () => {
        await data(api.DELETE("/api/v1/tokens/{id}", { params: { path: { id: token.token_id } } }));
        await refresh();
      },
    });
  return (
    <tr className={token.live ? undefined : "text-soft"}>
      <Cell>
        <span className="block min-w-28 font-medium break-all">{token.name}</span>
        {!token.live && (
          <div>
            <Badge tone="idle">{token.revoked_at ? "Revoked" : "Expired"}</Badge>
          </div>
        )}
      </Cell>
      <Cell>
        {token.role}
        {token.ant && <div className="text-xs break-all text-soft">only {token.ant}</div>}
        {token.tags && token.tags.length > 0 && (
          <div className="text-xs break-all text-soft">tags {token.tags.join(", ")}</div>
        )}
      </Cell>
      <Cell className="break-all">{token.user}</Cell>
      <Cell className="whitespace-nowrap">
        <Time at={token.created_at} />
        <div className="text-xs text-soft">by {token.created_by}</div>
        {token.expires_at && (
          <div className="text-xs text-soft">
            expires <Time at={token.expires_at} />
          </div>
        )}
      </Cell>
      <Cell className="whitespace-nowrap">
        {token.last_used_at ? <Time at={token.last_used_at} /> : <span className="text-soft">never</span>}
      </Cell>
      <Cell>
        {token.live && (
          <Button look="danger" aria-label={`Revoke ${token.name}`} onClick={() => void revoke()}>
            Revoke…
          </Button>
        )}
      </Cell>
    </tr>
  );
}
