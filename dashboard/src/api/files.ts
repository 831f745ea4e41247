import { ApiError, headers, problemOf } from "./client";

/** The content of something that the server has, or of its end. */
export async function fetchBlob(url: string, range?: string): Promise<Blob> {
  const response = await fetch(url, { headers: { ...headers(), ...(range === undefined ? {} : { Range: range }) } });
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return response.blob();
}

/** Gives the person a file. */
export function save(content: Blob, name: string): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name.split("/").at(-1) ?? name;
  link.click();
  // Not at once: the browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Saves something of the server's; the token travels in a header, so that it stands in no address. */
export async function download(url: string, name: string): Promise<void> {
  save(await fetchBlob(url), name);
}
