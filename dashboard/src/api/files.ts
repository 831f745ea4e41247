import { ApiError, headers, problemOf } from "./client";

/** The content of something that the server has, or of its end. */
export async function fetchBlob(url: string, range?: string): Promise<Blob> {
  const response = await fetch(url, { headers: { ...headers(), ...(range === undefined ? {} : { Range: range }) } });
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return response.blob();
}

/** The whole lines among the first so many bytes of a text that the server has. The rest is not fetched. */
export async function fetchBeginning(url: string, most: number): Promise<string> {
  const response = await fetch(url, { headers: headers() });
  if (!response.ok || response.body === null) throw new ApiError(response.status, await problemOf(response));
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let read = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value.subarray(0, most - read), { stream: true });
    read += value.length;
    if (read > most) break;
  }
  await reader.cancel();
  return text.slice(0, text.lastIndexOf("\n") + 1);
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
