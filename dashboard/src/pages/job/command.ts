import type { Api } from "../../api/client";

/** A script as the shell reads it: the values that it was bound to, then its lines. */
export const scriptOf = ({ preamble = "", text }: Api<"CommandScript">) =>
  preamble === "" ? text : `${preamble.replace(/\n?$/, "\n")}${text}`;

/** A text as one word of a shell. */
const word = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Lines that give a shell the same environment. Values of secrets are not known: they are left to who uses them. */
export const exportsOf = (variables: readonly Api<"CommandVariable">[]) =>
  variables
    .map(({ name, value, secret }) =>
      secret ? `# ${name} is a secret: export ${name}=…` : `export ${name}=${word(value)}`,
    )
    .join("\n");

const pieces = (value: readonly Api<"CommandText">[]) =>
  value.map(({ text, variable }) => text ?? `$${variable}`).join("");

/** An HTTP request as it is written down: what is asked of whom, its header, and its body. */
export function requestOf(request: Api<"HttpCommand">): string {
  const { verb, url, query = [], headers = [], text, json, form } = request;
  const asked = query.map(({ name, value }) => `${encodeURIComponent(name)}=${encodeURIComponent(pieces(value))}`);
  const address = asked.length === 0 ? url : `${url}${url.includes("?") ? "&" : "?"}${asked.join("&")}`;
  const body =
    text ??
    (json === undefined ? undefined : JSON.stringify(json, null, 2)) ??
    form?.map(({ name, value }) => `${name}=${pieces(value)}`).join("\n");
  const lines = [`${verb} ${address}`, ...headers.map(({ name, value }) => `${name}: ${pieces(value)}`)];
  return body === undefined ? lines.join("\n") : `${lines.join("\n")}\n\n${body}`;
}
