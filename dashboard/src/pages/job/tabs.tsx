import { Tabs as Radix } from "radix-ui";
import { cn } from "../../ui/cn";

export interface TabChoice<Name extends string> {
  name: Name;
  label: string;
  count?: number | undefined;
}

/** A row of tabs; what they show follows it, as `children`. */
export function Tabs<Name extends string>({
  label,
  choices,
  value,
  onChange,
  actions,
  children,
  className,
}: {
  label: string;
  choices: TabChoice<Name>[];
  value: Name;
  onChange: (name: Name) => void;
  actions?: React.ReactNode;
  children: React.ReactNode;
  className?: string;
}) {
  return (
    <Radix.Root
      value={value}
      onValueChange={(next) => {
        const found = choices.find((each) => each.name === next);
        if (found) onChange(found.name);
      }}
      activationMode="manual"
      className={cn("flex min-h-0 min-w-0 flex-col", className)}
    >
      <div className="flex items-center justify-between gap-2 border-b border-line px-2">
        <Radix.List aria-label={label} className="flex min-w-0 gap-1 overflow-x-auto">
          {choices.map((each) => (
            <Radix.Trigger
              key={each.name}
              value={each.name}
              className="-mb-px inline-flex min-h-9 items-center gap-1.5 border-b-2 border-transparent px-2 whitespace-nowrap text-soft hover:text-text focus-visible:-outline-offset-2 data-[state=active]:border-accent data-[state=active]:font-medium data-[state=active]:text-text"
            >
              {each.label}
              {each.count !== undefined && each.count > 0 && (
                <span className="rounded-full bg-raised px-1.5 text-xs font-normal text-soft">{each.count}</span>
              )}
            </Radix.Trigger>
          ))}
        </Radix.List>
        {actions}
      </div>
      <Radix.Content value={value} className="flex min-h-0 min-w-0 flex-1 flex-col focus-visible:-outline-offset-2">
        {children}
      </Radix.Content>
    </Radix.Root>
  );
}
