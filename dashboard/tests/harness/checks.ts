import AxeBuilder from "@axe-core/playwright";
import type { Page } from "playwright-core";

/** Waits until the page hears of what happens. */
export async function live(page: Page): Promise<void> {
  await page.getByRole("status").getByText("Live").first().waitFor();
}

/** Waits until nothing on the page is being loaded. */
export async function loaded(page: Page): Promise<void> {
  await page.waitForFunction(() => document.querySelector(".animate-pulse[role=status]") === null);
}

/** Fails when axe finds what keeps people out: violations that are serious or critical. */
export async function accessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page })
    .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])
    .analyze();
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  if (grave.length === 0) return;
  const told = grave.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((node) => node.html).join("\n  ")}`);
  throw new Error(`${page.url()} is not accessible:\n${told.join("\n")}`);
}

/** Fails when the page is wider than the screen. What is wide scrolls in a box of its own. */
export async function fits(page: Page): Promise<void> {
  const wide = await page.evaluate(() => {
    const screen = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= screen + 1) return undefined;
    const outside = [...document.querySelectorAll("main *")].filter(
      (each) => each.getBoundingClientRect().right > screen + 1,
    );
    return outside.slice(0, 5).map((each) => each.outerHTML.slice(0, 160));
  });
  if (wide !== undefined) throw new Error(`${page.url()} is wider than the screen:\n${wide.join("\n")}`);
}

/** Goes on with Tab until what has this name has the focus, and sees to it that one can see where that is. */
export async function tabTo(page: Page, name: string | RegExp, most = 120): Promise<void> {
  const met: string[] = [];
  for (let step = 0; step < most; step++) {
    await page.keyboard.press("Tab");
    const focused = page.locator(":focus");
    if ((await focused.count()) === 0) continue;
    const here = await focused.first().evaluate((element) => {
      const labels = element instanceof HTMLInputElement ? [...(element.labels ?? [])] : [];
      const text = [element.getAttribute("aria-label"), ...labels.map((each) => each.textContent), element.textContent];
      const style = getComputedStyle(element);
      return {
        name: (text.find((each) => each?.trim()) ?? "").trim(),
        seen: style.outlineStyle !== "none" || style.boxShadow !== "none",
      };
    });
    met.push(here.name);
    if (typeof name === "string" ? here.name !== name : !name.test(here.name)) continue;
    if (!here.seen) throw new Error(`${here.name} has the focus, and one cannot see it`);
    return;
  }
  throw new Error(`Tab never comes to ${name}; it came to: ${met.join(" · ")}`);
}

/** Strings that run something where they are taken for HTML, a URL, a template or a terminal's orders. */
export const hostile = [
  `<script>attacked("script")</script>`,
  `"><img src=x onerror=attacked("img")>`,
  `'><svg onload=attacked("svg")>`,
  `</title></textarea></style><script>attacked("closing")</script>`,
  `<iframe srcdoc="<script>parent.attacked('iframe')</script>"></iframe>`,
  `[click](javascript:attacked("link"))`,
  `![x](x"onerror="attacked('markdown'))`,
  `<a href="javascript:attacked('href')">x</a>`,
  "<details open ontoggle=attacked('toggle')>",
  "{{constructor.constructor('attacked(1)')()}}",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is meant to stay as it is
  "${attacked('template')}",
  "\u001b]8;;javascript:attacked('osc8')\u0007link\u001b]8;;\u0007",
  "\u202eRTL\u202c \u0000 \ud83d\udc1c 'quotes' \"double\" &amp; &lt;b&gt;",
] as const;

/** All of them in one text. */
export const attack = hostile.join(" ").replaceAll("\u0000", "");

/** Follows what could run only when it is used: links that lead to scripts. Fails when there is one. */
export async function harmless(page: Page): Promise<void> {
  const bad = await page.evaluate(() =>
    [...document.querySelectorAll("a[href], form[action], iframe, object, embed")]
      .filter((each) => {
        const target = each.getAttribute("href") ?? each.getAttribute("action") ?? "javascript:";
        return !/^(https?:|mailto:|\/|#|\?|blob:)/i.test(target.trim());
      })
      .map((each) => each.outerHTML.slice(0, 200)),
  );
  if (bad.length > 0) throw new Error(`${page.url()} has what can run a script:\n${bad.join("\n")}`);
}
