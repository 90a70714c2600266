// What was clicked: buttons and links, links that lead away, downloads, mail and telephone links.
// Addresses go without their query, which may hold a secret; nothing that was typed is ever read.

import type { Part } from "../settings";

const FILES =
  "7z avi csv dmg doc docx epub exe gz mov mp3 mp4 msi odp ods odt pdf pkg ppt pptx rar rtf tgz txt wav xls xlsx xml zip".split(
    " ",
  );
const TEXT_CHARACTERS = 64;

const clicks: Part = (record, _watch, _clock, { extensions = FILES }) => {
  const click = ({ target }: Event) => {
    // A script may send a click to the document itself, which has no `closest`.
    const at = target as HTMLElement;
    const found = at.closest?.<HTMLElement>(
      "a[href],area[href],button,summary,[role=button],[type=button],[type=submit],[type=image]",
    );
    if (!found || found.closest("[data-cairn-ignore]")) return;
    const link = found as HTMLAnchorElement;
    const label = found.localName === "input" ? (found as HTMLInputElement).value : found.innerText;
    const text = found.getAttribute("aria-label") || label || "";
    const props: Record<string, string | undefined> = {
      element: found.localName,
      element_id: found.id || undefined,
      element_text: text.trim().replace(/\s+/g, " ").slice(0, TEXT_CHARACTERS) || undefined,
    };
    if (link.href) {
      const { protocol, hostname, origin, pathname } = new URL(link.href, location.href);
      const contact = { "mailto:": "email", "tel:": "phone", "sms:": "phone" }[protocol];
      if (contact) {
        // Whose address it is stays on the page.
        delete props["element_text"];
        props["link_type"] = contact;
      } else if (/^http/.test(protocol)) {
        const name = pathname.split("/").pop()!;
        const extension = name.split(".").pop()!.toLowerCase();
        const within = (a: string, b: string) => ("." + a).endsWith("." + b);
        props["link_url"] = origin + pathname;
        if (link.hasAttribute("download") || (name !== extension && extensions.includes(extension))) {
          props["file_name"] = name;
          props["file_extension"] = extension;
          return record("file_download", { props });
        }
        props["link_type"] = "internal";
        if (!within(hostname, location.hostname) && !within(location.hostname, hostname)) {
          props["link_type"] = "outbound";
          props["link_domain"] = hostname;
        }
      }
    }
    // What has a name of its own is reported under that name already.
    if (/^(out|e|p)/.test(props["link_type"]!) || !found.closest("[data-cairn-event]")) {
      record("click", { props });
    }
  };
  addEventListener("click", click, true);
  // The middle button opens a link too.
  addEventListener("auxclick", (event) => event.button === 1 && click(event), true);
};

export default clicks;
