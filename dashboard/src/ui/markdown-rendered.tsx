import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";

const allowed = /^(https?:|mailto:)/i;

function Anchor({ href, children }: { href?: string | undefined; children?: React.ReactNode }) {
  if (href === undefined || !allowed.test(href)) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer" className="text-accent underline underline-offset-2">
      {children}
    </a>
  );
}

const parts: Components = {
  a: ({ href, children }) => <Anchor href={href}>{children}</Anchor>,
  img: ({ src, alt }) => (
    <Anchor href={typeof src === "string" ? src : undefined}>
      {alt || (typeof src === "string" ? src : "picture")}
    </Anchor>
  ),
  // The page has its own headings: those of a text are as large as they need to be.
  h1: ({ children }) => <p className="mt-3 text-base font-semibold first:mt-0">{children}</p>,
  h2: ({ children }) => <p className="mt-3 font-semibold first:mt-0">{children}</p>,
  h3: ({ children }) => <p className="mt-2 font-semibold first:mt-0">{children}</p>,
  h4: ({ children }) => <p className="mt-2 font-medium first:mt-0">{children}</p>,
  h5: ({ children }) => <p className="mt-2 font-medium first:mt-0">{children}</p>,
  h6: ({ children }) => <p className="mt-2 font-medium first:mt-0">{children}</p>,
  p: ({ children }) => <p className="mt-2 break-words first:mt-0">{children}</p>,
  ul: ({ children }) => <ul className="mt-2 list-disc pl-5 first:mt-0">{children}</ul>,
  ol: ({ children }) => <ol className="mt-2 list-decimal pl-5 first:mt-0">{children}</ol>,
  blockquote: ({ children }) => (
    <blockquote className="mt-2 border-l-2 border-strong pl-3 text-soft">{children}</blockquote>
  ),
  code: ({ children }) => (
    <code className="rounded bg-raised px-1 font-mono text-[0.92em] break-words">{children}</code>
  ),
  pre: ({ children }) => (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    <pre tabIndex={0} className="mt-2 overflow-x-auto rounded-md bg-raised p-2 text-xs">
      {children}
    </pre>
  ),
  table: ({ children }) => (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    <div tabIndex={0} className="mt-2 overflow-x-auto">
      <table className="border-collapse text-left">{children}</table>
    </div>
  ),
  th: ({ children }) => <th className="border border-line bg-raised px-2 py-1 font-medium">{children}</th>,
  td: ({ children }) => <td className="border border-line px-2 py-1">{children}</td>,
  input: ({ checked }) => <input type="checkbox" checked={checked === true} disabled aria-label="Item of a list" />,
};

export default function Rendered({ text }: { text: string }) {
  return (
    <div className="min-w-0">
      <ReactMarkdown remarkPlugins={[remarkGfm]} components={parts} urlTransform={(url) => url}>
        {text}
      </ReactMarkdown>
    </div>
  );
}
