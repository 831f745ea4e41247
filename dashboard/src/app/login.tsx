import { useState } from "react";
import { token } from "../api/client";
import { Button, input, Panel, useTitle } from "../ui/kit";

/** Asks for an API token. It stays in this tab, and is forgotten when the tab is closed. */
export function Login() {
  useTitle("Sign in");
  const [value, setValue] = useState("");
  return (
    <main className="mx-auto mt-24 max-w-md px-4">
      <h1 className="mb-3 text-xl font-semibold">Sign in to Atta</h1>
      <Panel>
        <form
          className="flex flex-col gap-3"
          onSubmit={(event) => {
            event.preventDefault();
            token.set(value.trim());
            window.location.reload();
          }}
        >
          <label className="flex flex-col gap-1">
            <span className="font-medium">API token</span>
            <input
              className={input}
              type="password"
              autoComplete="off"
              required
              value={value}
              onChange={(event) => setValue(event.target.value)}
            />
          </label>
          <p className="text-soft">
            This server wants a token. Whoever runs it makes one with <code>atta token create --role viewer</code>. It
            is kept in this tab only.
          </p>
          <Button type="submit" look="primary">
            Sign in
          </Button>
        </form>
      </Panel>
    </main>
  );
}
