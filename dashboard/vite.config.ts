import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// ATTA_URL: the server that `npm run dev` shows.
const server = process.env.ATTA_URL ?? "http://127.0.0.1:7777";

// What the server sends with the page (server/src/api/dashboard.rs), but with a nonce that is always the same.
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'nonce-__NONCE__'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

export default defineConfig({
  plugins: [react(), tailwindcss()],
  server: { proxy: { "/api": server, "/health": server } },
  preview: { headers: { "Content-Security-Policy": policy } },
  // Everything is a file of its own: the Content-Security-Policy allows nothing that is written into the page.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  test: { include: ["src/**/*.test.{ts,tsx}"] },
});
