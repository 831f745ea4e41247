import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { policy } from "./policy";

// ATTA_URL: the server that `npm run dev` shows.
const server = process.env.ATTA_URL ?? "http://127.0.0.1:7777";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  server: { proxy: { "/api": server, "/health": server } },
  preview: { headers: { "Content-Security-Policy": policy } },
  // Everything is a file of its own: the Content-Security-Policy allows nothing that is written into the page.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, manifest: true },
  // How long a test takes says nothing: the machine may have other things to do.
  test: { include: ["src/**/*.test.{ts,tsx}"], testTimeout: 120_000 },
});
