import { useQuery, useQueryClient } from "@tanstack/react-query";
import { api, data } from "../../api/client";
import { useMay } from "../../app/caller";
import { confirm } from "../../ui/confirm";
import { Facts } from "../../ui/field";
import { Button, Loaded, Panel } from "../../ui/kit";

/** How the keys stand that secrets are encrypted with. */
export function Keys() {
  const queries = useQueryClient();
  const may = useMay();
  const status = useQuery({
    queryKey: ["secrets", "status"],
    queryFn: () => data(api.GET("/api/v1/secrets/status")),
  });
  const rotate = () =>
    confirm({
      title: "Encrypt all secrets with a new key?",
      body: "Each secret is encrypted anew, and the old key is dropped when nothing needs it any more: backups of before cannot be opened with the new one. Jobs notice nothing.",
      action: "Make a new key",
      done: "All secrets are encrypted with the new key.",
      run: async () => {
        await data(api.POST("/api/v1/secrets/rotate-key"));
        await queries.invalidateQueries({ queryKey: ["secrets"] });
      },
    });
  return (
    <Panel
      title="Keys of secrets"
      actions={
        may("admin") && (
          <Button disabled={status.data === undefined} onClick={() => void rotate()}>
            New key…
          </Button>
        )
      }
    >
      <Loaded query={status}>
        {({ key_id, keys, secrets, outdated, problem }) => (
          <>
            {problem && (
              <p role="alert" className="mb-2 text-bad">
                {problem}
              </p>
            )}
            <Facts
              rows={[
                ["Secrets", String(secrets)],
                ["Keys", String(keys)],
                ["Newest key", key_id ? <code key="id">{key_id}</code> : "none"],
                ["With an older key", outdated === 0 ? "none" : `${outdated}`],
              ]}
            />
          </>
        )}
      </Loaded>
    </Panel>
  );
}
