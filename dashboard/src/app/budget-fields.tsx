import { cn } from "../ui/cn";
import { Field } from "../ui/field";
import { input } from "../ui/kit";
import type { Amount } from "./budget";

/** A field for each kind of amount that a budget limits: what the job may use in all. */
export function BudgetFields({
  rows,
  texts,
  onTexts,
  disabled = false,
}: {
  rows: readonly Amount[];
  texts: Record<string, string>;
  onTexts: (texts: Record<string, string>) => void;
  disabled?: boolean;
}) {
  return rows.map(({ name, label, limit, used, show }) => (
    <Field
      key={name}
      label={label}
      hint={
        <span className={cn(used >= limit && "text-bad")}>
          {show(used)} of {show(limit)} used
        </span>
      }
    >
      {(ids) => (
        <input
          {...ids}
          className={cn(input, "w-32 tabular-nums")}
          type="number"
          step="any"
          min={limit}
          placeholder={String(limit)}
          disabled={disabled}
          value={texts[name] ?? ""}
          onChange={(event) => onTexts({ ...texts, [name]: event.target.value })}
        />
      )}
    </Field>
  ));
}
