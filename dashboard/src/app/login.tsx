import { useState } from "react";
import { type ApiError, looksLikeToken, token } from "../api/client";
import { Button, ErrorBox, input, Panel, useTitle } from "../ui/kit";
import { signOut } from "./caller";

/** Asks for an API token. It stays in this tab, and is forgotten when the tab is closed. */
export function Login({ refusal }: { refusal: ApiError | undefined }) {
  useTitle("Sign in");
  const [value, setValue] = useState("");
  const [wrong, setWrong] = useState(false);
  const refused = token.get() !== null;
  return (
    <main className="mx-auto mt-24 max-w-md px-4">
      <h1 className="mb-3 text-xl font-semibold">Sign in to Atta</h1>
      <Panel>
        <form
          className="flex flex-col gap-3"
          onSubmit={(event) => {
            event.preventDefault();
            const typed = value.trim();
            if (!looksLikeToken(typed)) return setWrong(true);
            token.set(typed);
            window.location.reload();
          }}
        >
          {refused && refusal && (
            <>
              <ErrorBox error={refusal} />
              <p className="text-soft">
                The server does not take the token of this tab. Give it another one, or{" "}
                <button type="button" className="text-accent underline" onClick={signOut}>
                  forget this one
                </button>
                .
              </p>
            </>
          )}
          <label className="flex flex-col gap-1">
            <span className="font-medium">API token</span>
            <input
              className={input}
              type="password"
              autoComplete="off"
              required
              aria-invalid={wrong}
              aria-describedby={wrong ? "token-wrong" : undefined}
              value={value}
              onChange={(event) => {
                setValue(event.target.value);
                setWrong(false);
              }}
            />
          </label>
          {wrong && (
            <p id="token-wrong" role="alert" className="text-bad">
              This is no token: a token has letters, digits and signs of ASCII only, and no spaces.
            </p>
          )}
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
