import { lazy, Suspense } from "react";
import { Busy } from "../ui/kit";
import type { EditorProps } from "./yaml-editor";

export type { EditorHandle } from "./yaml-editor";

const Editor = lazy(() => import("./yaml-editor"));
const Diff = lazy(() => import("./yaml-diff"));

/** An editor of definitions, in a chunk of its own. */
export function YamlEditor(props: EditorProps) {
  return (
    <Suspense fallback={<Busy label="Opening the editor" />}>
      <Editor {...props} />
    </Suspense>
  );
}

/** The difference of two definitions. */
export function YamlDiff(props: { before: string; after: string; label: string }) {
  return (
    <Suspense fallback={<Busy label="Comparing" />}>
      <Diff {...props} />
    </Suspense>
  );
}
