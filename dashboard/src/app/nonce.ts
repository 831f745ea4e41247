/** The nonce by which the Content-Security-Policy lets libraries add style sheets (CodeMirror, dialogs). */
export const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";

// Where the library below dialogs looks for it.
declare global {
  var __webpack_nonce__: string | undefined;
}
globalThis.__webpack_nonce__ = nonce;
