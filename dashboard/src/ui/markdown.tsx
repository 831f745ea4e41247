import { lazy, Suspense } from "react";

const Rendered = lazy(() => import("./markdown-rendered"));

/**
 * Markdown from outside: no HTML in it is ever taken as such, links lead to the web or to mail only, and pictures are links
 * (the page loads nothing from elsewhere). In a chunk of its own; the plain text stands there until it has come.
 */
export function Markdown({ text }: { text: string }) {
  return (
    <Suspense fallback={<p className="break-words whitespace-pre-wrap">{text}</p>}>
      <Rendered text={text} />
    </Suspense>
  );
}
