import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import type { Api } from "../../api/client";
import { useTheme } from "../../app/theme";
import { Button, Cell, count, money, Table } from "../../ui/kit";
import { every } from "./every";
import "uplot/dist/uPlot.min.css";

/** Cost and what came of it, day by day: a picture, and the same as a table for those who do not see it. */
export default function Days({ groups }: { groups: readonly Api<"OutcomeGroup">[] }) {
  const [asTable, setAsTable] = useState(false);
  const days = every(groups);
  const drawn = days.length > 1 && !asTable;
  const spent = days.reduce((sum, day) => sum + day.cost, 0);
  const merged = days.reduce((sum, day) => sum + day.merged, 0);
  return (
    <div className="flex flex-col gap-3">
      <div className="flex flex-wrap items-center justify-between gap-2">
        <p className="text-soft">
          {days.length === 1 ? "One day" : `${days.length} days`}: {money(spent)} spent, {count(merged)} merged.
        </p>
        {days.length > 1 && (
          <Button onClick={() => setAsTable(!asTable)}>{asTable ? "Show the picture" : "Show as a table"}</Button>
        )}
      </div>
      {!drawn ? (
        <Table label="By day" head={["Day (UTC)", "Cost", "Jobs", "Merged", "Failed or left to somebody"]}>
          {days.map((day) => (
            <tr key={day.day} className="tabular-nums">
              <Cell>{day.day}</Cell>
              <Cell>{money(day.cost)}</Cell>
              <Cell>{count(day.jobs)}</Cell>
              <Cell>{count(day.merged)}</Cell>
              <Cell>{count(day.lost)}</Cell>
            </tr>
          ))}
        </Table>
      ) : (
        <div className="grid gap-6 lg:grid-cols-2">
          <Plot
            label="US dollars a day"
            days={days}
            lines={[{ name: "Cost", color: "--accent", of: (day) => day.cost, bars: true }]}
            text={(value) => money(value)}
          />
          <Plot
            label="Jobs a day"
            days={days}
            lines={[
              { name: "Merged", color: "--ok", of: (day) => day.merged },
              { name: "Failed or left to somebody", color: "--bad", of: (day) => day.lost, dash: [5, 4] },
              { name: "All", color: "--run", of: (day) => day.jobs, dash: [1, 3] },
            ]}
            text={(value) => count(value)}
          />
        </div>
      )}
    </div>
  );
}

type Day = ReturnType<typeof every>[number];

interface Line {
  name: string;
  /** The name of a colour of the theme. */
  color: string;
  of: (day: Day) => number;
  bars?: boolean;
  dash?: number[];
}

function Plot({
  label,
  days,
  lines,
  text,
}: {
  label: string;
  days: readonly Day[];
  lines: readonly Line[];
  text: (value: number) => string;
}) {
  const place = useRef<HTMLDivElement>(null);
  const theme = useTheme();
  // Drawn anew for other numbers and colours only, not whenever the page is rendered.
  const numbers = JSON.stringify(days);
  const drawn = useRef({ lines, text });
  drawn.current = { lines, text };

  // biome-ignore lint/correctness/useExhaustiveDependencies: the colours are those of the theme
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const { lines: series, text: words } = drawn.current;
    const rows = JSON.parse(numbers) as Day[];
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: color("--soft"),
      grid: { stroke: color("--line"), width: 1 },
      ticks: { stroke: color("--line"), width: 1 },
    };
    const plot = new uPlot(
      {
        width: Math.max(200, element.clientWidth),
        height: 200,
        tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "UTC"),
        legend: { live: true },
        cursor: { y: false },
        scales: {
          // Half a day more on both sides, for the bars.
          x: { range: (_, first, last) => [first - 43_200, last + 43_200] },
          y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] },
        },
        axes: [
          { ...axis, values: "{YYYY}-{MM}-{DD}", space: 90, incrs: [86_400, 172_800, 604_800, 2_592_000] },
          { ...axis, size: 56, values: (_, values) => values.map((value) => (value == null ? "" : words(value))) },
        ],
        series: [
          { label: "Day", value: "{YYYY}-{MM}-{DD}" },
          ...series.map(({ name, color: paint, bars, dash }) => ({
            label: name,
            stroke: color(paint),
            width: 2,
            ...(dash === undefined ? {} : { dash }),
            ...(bars && uPlot.paths.bars
              ? { fill: color(paint), paths: uPlot.paths.bars({ size: [0.7, 40] }), points: { show: false } }
              : {}),
            value: (_: uPlot, value: number | null) => (value == null ? "–" : words(value)),
          })),
        ],
      },
      [rows.map((day) => Date.parse(day.day) / 1000), ...series.map(({ of }) => rows.map(of))],
      element,
    );
    const watcher = new ResizeObserver(() => plot.setSize({ width: Math.max(200, element.clientWidth), height: 200 }));
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      plot.destroy();
    };
  }, [numbers, theme]);

  return (
    <figure className="min-w-0">
      <figcaption className="mb-1 text-xs font-medium text-soft">{label}</figcaption>
      <div
        ref={place}
        role="img"
        aria-label={`${label}: a picture. “Show as a table” has the numbers.`}
        className="min-w-0 overflow-hidden [&_.u-legend]:text-left! [&_.u-legend]:text-xs [&_.u-legend_th]:font-normal!"
      />
    </figure>
  );
}
