import { closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { useEffect, useImperativeHandle, useRef } from "react";
import { assist } from "./assist";
import type { Problem } from "./problems";
import { look } from "./theme";

export interface EditorHandle {
  goTo: (line: number, column: number) => void;
}

export interface EditorProps {
  ref?: React.Ref<EditorHandle>;
  /** What it begins with; another one replaces what was written. */
  value: string;
  label: string;
  readOnly?: boolean;
  problems?: Problem[];
  onChange?: (value: string) => void;
  onSave?: () => void;
}

const none: Problem[] = [];

/** An editor of definitions. Escape, then Tab, leaves it by keyboard. */
export default function YamlEditor({
  ref,
  value,
  label,
  readOnly = false,
  problems = none,
  onChange,
  onSave,
}: EditorProps) {
  const box = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const events = useRef({ onChange, onSave });
  events.current = { onChange, onSave };
  const first = useRef(value);

  useEffect(() => {
    if (box.current === null) return;
    const editor = new EditorView({
      parent: box.current,
      state: EditorState.create({
        doc: first.current,
        extensions: [
          look,
          lineNumbers(),
          foldGutter(),
          history(),
          drawSelection(),
          indentUnit.of("  "),
          EditorState.tabSize.of(2),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          highlightActiveLine(),
          highlightActiveLineGutter(),
          highlightSelectionMatches(),
          yaml(),
          lintGutter(),
          readOnly ? [EditorState.readOnly.of(true)] : assist,
          EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", tabindex: "0" }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) events.current.onChange?.(update.state.doc.toString());
          }),
          keymap.of([
            {
              key: "Mod-s",
              run: () => {
                events.current.onSave?.();
                return true;
              },
            },
            ...closeBracketsKeymap,
            ...defaultKeymap,
            ...searchKeymap,
            ...historyKeymap,
            ...foldKeymap,
            ...completionKeymap,
            ...lintKeymap,
            indentWithTab,
          ]),
        ],
      }),
    });
    view.current = editor;
    return () => editor.destroy();
  }, [label, readOnly]);

  useEffect(() => {
    const editor = view.current;
    if (editor === undefined || editor.state.doc.toString() === value) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: value } });
  }, [value]);

  useEffect(() => {
    const editor = view.current;
    if (editor === undefined) return;
    editor.dispatch(
      setDiagnostics(
        editor.state,
        problems.map((problem) => mark(editor, problem)),
      ),
    );
  }, [problems]);

  useImperativeHandle(
    ref,
    () => ({
      goTo: (line, column) => {
        const editor = view.current;
        if (editor === undefined) return;
        const at = placeOf(editor, line, column);
        editor.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
        editor.focus();
      },
    }),
    [],
  );

  return <div ref={box} className="h-full min-h-0 overflow-hidden" />;
}

function placeOf(editor: EditorView, line: number, column: number): number {
  const found = editor.state.doc.line(Math.min(Math.max(line, 1), editor.state.doc.lines));
  // Columns of the validator count characters, those of the editor count UTF-16 units.
  const before = [...found.text].slice(0, Math.max(0, column - 1)).join("");
  return found.from + Math.min(before.length, found.length);
}

/** A problem as a mark: from its place to the end of the word. */
function mark(editor: EditorView, { line, column, severity, message, code }: Problem): Diagnostic {
  const from = placeOf(editor, line, column);
  const found = editor.state.doc.lineAt(from);
  const word = /^[\w.-]+|^\S+/.exec(found.text.slice(from - found.from));
  return { from, to: Math.min(found.to, from + Math.max(1, word?.[0].length ?? 1)), severity, message, source: code };
}
