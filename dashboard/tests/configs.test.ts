import { expect } from "vitest";
import { accessible, attack, fits, harmless, test, World } from "./harness";

const value = "correct-horse-battery-staple";

test("a secret is set, replaced and removed, and never shown", async ({ world }) => {
  const page = await world.open("/configs");
  const answers: string[] = [];
  page.on("response", (response) => {
    if (response.url().includes("/api/"))
      void response.text().then(
        (text) => answers.push(text),
        () => undefined,
      );
  });
  await page.getByText("Nothing is set").waitFor();
  await page.getByRole("button", { name: "Secret…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("ApiToken");
  await dialog.getByLabel("Value", { exact: true }).fill(value);
  await accessible(page);
  await dialog.getByRole("button", { name: "Set" }).click();
  const row = page.getByRole("row", { name: /ApiToken/ });
  await row.getByText("Secret, not shown").waitFor();
  await row.getByRole("button", { name: "Replace ApiToken" }).click();
  expect(await dialog.getByLabel("New value").inputValue()).toBe("");
  await dialog.getByLabel("New value").fill(`${value}-2`);
  await dialog.getByRole("button", { name: "Replace" }).click();
  await dialog.waitFor({ state: "detached" });
  expect(await page.content()).not.toContain(value);
  await row.getByRole("button", { name: "Remove ApiToken" }).click();
  await page
    .getByRole("alertdialog")
    .getByText(/cannot be brought back/)
    .waitFor();
  await page.getByRole("alertdialog").getByRole("button", { name: "Remove" }).click();
  await row.waitFor({ state: "detached" });
  expect(answers.join("\n")).not.toContain(value);
});

test("what the server refuses is said in the dialog, and what was typed stays", async ({ world }) => {
  const { page, allow } = await world.sheet("/configs");
  allow(/status of 422/);
  await page.getByRole("button", { name: "Secret…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("Pin");
  await dialog.getByLabel("Value", { exact: true }).fill("1234");
  await dialog.getByRole("button", { name: "Set" }).click();
  await dialog.getByRole("alert").waitFor();
  expect(await dialog.getByLabel("Value", { exact: true }).inputValue()).toBe("1234");
  await dialog.getByLabel(/Accept fewer than 6 bytes/).check();
  await dialog.getByRole("button", { name: "Set" }).click();
  await page.getByRole("row", { name: /Pin/ }).waitFor();
});

test("a config of a definition is JSON if one says so, and hostile values are text", async ({ world }) => {
  await world.api.install("job_type: build\ntasks:\n  - {task_type: make, script: [echo hi]}\n");
  await world.api.ask("PUT", "/api/v1/configs/Hostile", { value: attack });
  const page = await world.open("/configs?definition=build", { phone: true });
  await page.getByText("build has none of its own").waitFor();
  await page.getByRole("button", { name: "Config…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("Limits");
  await dialog.getByLabel("Value", { exact: true }).fill("[1, 2");
  await dialog.getByLabel(/The value is JSON/).check();
  await dialog.getByRole("button", { name: "Set" }).click();
  await dialog.getByText(/This is not JSON/).waitFor();
  await dialog.getByLabel("Value", { exact: true }).fill("[1, 2]");
  await dialog.getByRole("button", { name: "Set" }).click();
  await page
    .getByRole("row", { name: /Limits/ })
    .getByText("[1,2]")
    .waitFor();
  await page.getByLabel("Belong to").selectOption("");
  await page
    .getByRole("row", { name: /Hostile/ })
    .getByText("<script>", { exact: false })
    .waitFor();
  await harmless(page);
  await fits(page);
});

test("all secrets are encrypted with a new key by a click", async ({ world }) => {
  await world.api.ask("PUT", "/api/v1/configs/Token", { value, secret: true });
  const before = await world.api.ask<{ key_id: string }>("GET", "/api/v1/secrets/status");
  const page = await world.open("/configs");
  await page.getByText(before.key_id).waitFor();
  await page.getByRole("button", { name: "New key…" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Make a new key" }).click();
  await page.getByText("All secrets are encrypted with the new key.").waitFor();
  await page.getByText(before.key_id).waitFor({ state: "detached" });
});

test("a token is made and shown once, its use is in the audit, and it is no good when it is revoked", async () => {
  const { admin, world } = await guarded();
  try {
    const page = await world.open("/tokens", { token: admin });
    await page.getByRole("button", { name: "New token…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("ci");
    await dialog.getByLabel("Role").selectOption("operator");
    await dialog.getByText("Also cancels, retries").waitFor();
    await accessible(page);
    await dialog.getByRole("button", { name: "Make the token" }).click();
    await dialog.getByText("This is shown only now").waitFor();
    const made = (await dialog.locator("code").textContent()) ?? "";
    await dialog.getByRole("button", { name: "I have it" }).click();
    expect(await page.content()).not.toContain(made);
    const row = page.getByRole("row", { name: /^ci/ });
    await row.getByText("operator").waitFor();

    const audit = await world.open("/audit", { token: admin });
    await audit.getByRole("cell", { name: "create_token" }).waitFor();
    await accessible(audit);
    await audit.getByLabel("On what, detail, token or request contains").fill("nothing is like that");
    await audit.getByText("None of them matches").waitFor();

    await row.getByRole("button", { name: "Revoke ci" }).click();
    await page
      .getByRole("alertdialog")
      .getByText(/refused from this moment on/)
      .waitFor();
    await page.getByRole("alertdialog").getByRole("button", { name: "Revoke" }).click();
    await row.getByText("Revoked").waitFor();
    const answer = await fetch(`${world.server.url}/api/v1/jobs`, { headers: { Authorization: `Bearer ${made}` } });
    expect(answer.status).toBe(401);
  } finally {
    await world.stop();
  }
});

/** A server that asks everybody for a token, and one of an admin. */
async function guarded(): Promise<{ world: World; admin: string }> {
  const world = await World.start();
  return { world, admin: await world.api.token("admin", "admin") };
}
