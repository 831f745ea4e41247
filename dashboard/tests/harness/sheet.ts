import type { BrowserContext, Page } from "playwright-core";

/** A page that must not complain: what its console says, what it throws and what its policy refuses is kept. */
export interface Sheet {
  page: Page;
  problems: string[];
  /** What is expected to be complained about, e.g. that the server is away. */
  allow: (...what: RegExp[]) => void;
}

declare global {
  interface Window {
    /** What hostile strings call. */
    attacked: (how: string) => void;
    refused: (what: string) => void;
  }
}

export async function watched(context: BrowserContext): Promise<Sheet> {
  const problems: string[] = [];
  const allowed: RegExp[] = [];
  const page = await context.newPage();
  const sheet: Sheet = {
    page,
    get problems() {
      return problems.filter((problem) => !allowed.some((each) => each.test(problem)));
    },
    allow: (...what) => void allowed.push(...what),
  };
  page.on("pageerror", (error) => problems.push(`thrown: ${error.stack ?? error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on("dialog", (dialog) => {
    problems.push(`a dialog of the browser: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.exposeFunction("attacked", (how: string) => problems.push(`a hostile string ran: ${how}`));
  await page.exposeFunction("refused", (what: string) => problems.push(`refused by the policy: ${what}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) =>
      window.refused(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
    );
  });
  return sheet;
}
