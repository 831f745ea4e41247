/** What the server sends with the page (server/src/api/dashboard), with a nonce that is always the same. */
export const policy = [
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
