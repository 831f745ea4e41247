import { useId } from "react";
import { cn } from "../../ui/cn";
import { input } from "../../ui/kit";
import type { Param } from "./params";

/** A field for each parameter that a definition declares. */
export function ParamFields({
  params,
  texts,
  problems,
  strict,
  onTexts,
}: {
  params: readonly Param[];
  texts: Record<string, string>;
  problems: ReadonlyMap<string, string>;
  /** What is missing is said, too; otherwise only what is wrong. */
  strict: boolean;
  onTexts: (texts: Record<string, string>) => void;
}) {
  if (params.length === 0)
    return (
      <p className="text-soft">
        It takes none. What jobs may be given is declared by <code>params</code> in the definition.
      </p>
    );
  return (
    <div className="flex flex-col gap-4">
      {params.map((param) => (
        <ParamField
          key={param.name}
          param={param}
          value={texts[param.name] ?? ""}
          problem={strict || (texts[param.name] ?? "") !== "" ? problems.get(param.name) : undefined}
          onChange={(text) => onTexts({ ...texts, [param.name]: text })}
        />
      ))}
    </div>
  );
}

interface ParamProps {
  param: Param;
  value: string;
  problem: string | undefined;
  onChange: (text: string) => void;
}

function ParamField({ param, value, problem, onChange }: ParamProps) {
  const id = useId();
  const { name, type, required, description, initial } = param;
  const shared = {
    id,
    name,
    value,
    required,
    "aria-invalid": problem !== undefined,
    "aria-describedby": `${id}-about`,
    onChange: (event: { target: { value: string } }) => onChange(event.target.value),
  };
  const choices = type === "boolean" ? ["true", "false"] : param.choices;
  const long = type === "object" || type === "array" || (initial?.includes("\n") ?? false);
  const look = cn(input, "w-full", problem && "border-bad");
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id} className="flex flex-wrap items-baseline gap-x-2">
        <span className="font-medium break-all">
          {name}
          {required && <span className="text-bad"> (required)</span>}
        </span>
        <span className="text-xs text-soft">{type === "string" ? "text" : type}</span>
      </label>
      {choices.length > 0 ? (
        <select {...shared} className={look}>
          <option value="">{initial === undefined ? "Not given" : `Default: ${initial}`}</option>
          {choices.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      ) : long ? (
        <textarea {...shared} rows={3} spellCheck={false} placeholder={initial} className={cn(look, "font-mono")} />
      ) : (
        <input
          {...shared}
          inputMode={type === "integer" ? "numeric" : type === "number" ? "decimal" : "text"}
          placeholder={initial}
          autoComplete="off"
          className={look}
        />
      )}
      <span id={`${id}-about`} className="text-xs break-words text-soft">
        {problem && (
          <span role="alert" className="block text-bad">
            {problem}
          </span>
        )}
        {description && <span className="block">{description}</span>}
        {initial !== undefined && choices.length === 0 && (
          <span className="block">Left empty, it is {initial === "" ? "the empty text" : initial}</span>
        )}
      </span>
    </div>
  );
}
