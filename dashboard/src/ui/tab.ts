let page = "";
let prefix = "";
let pageIcon: string | undefined;
let icon = "/favicon.svg";

function write() {
  document.title = [prefix, page, "Atta"].filter((part) => part !== "").join(" · ");
  document.querySelector<HTMLLinkElement>('link[rel="icon"]')?.setAttribute("href", pageIcon ?? icon);
}

/** What the page that is shown is called. */
export function setPageTitle(title: string) {
  page = title;
  write();
}

/** What stands before it, and which picture the tab has: how the server's jobs do. */
export function setTab(text: string, picture: string) {
  prefix = text;
  icon = picture;
  write();
}

/** The picture of the page that is shown, instead of that; none when it has no own. */
export function setPageIcon(picture?: string) {
  pageIcon = picture;
  write();
}
