/** The nonce by which the Content-Security-Policy lets libraries add style sheets (CodeMirror, dialogs). */
export const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
