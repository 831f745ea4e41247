let page = "";
let prefix = "";

function write() {
  document.title = [prefix, page, "Atta"].filter((part) => part !== "").join(" · ");
}

/** What the page that is shown is called. */
export function setPageTitle(title: string) {
  page = title;
  write();
}

/** What stands before it: how the server's jobs do. */
export function setTitlePrefix(text: string) {
  prefix = text;
  write();
}
