// How far people come with a form: started, left at which field, submitted. Names of fields are
// reported, never what is in them.

import type { Part } from "../settings";

type Field = HTMLInputElement;

const forms: Part = (record, watch) => {
  /** Started and not submitted: the field that was used last, empty once it was told. */
  const open = new Map<HTMLFormElement, string>();
  // A field called "id" hides the form's own property of that name, never the attribute.
  const read = (element: Element, name: string) => element.getAttribute(name) || "";
  const tell = (event: string, form: HTMLFormElement, field?: string) =>
    form.closest("[data-cairn-ignore]") ||
    record(event, {
      props: {
        form_id: read(form, "id"),
        form_name: read(form, "name"),
        form_destination: new URL(read(form, "action"), location.href).pathname,
        field,
      },
    });
  const use = ({ type, target }: Event) => {
    const field = target as Field;
    const form = field.form;
    if (!form || (type !== "input" && !open.has(form))) return;
    if (!open.has(form)) tell("form_start", form);
    open.set(form, read(field, "name") || read(field, "id") || field.type);
  };
  addEventListener("input", use, true);
  addEventListener("focusin", use, true);
  addEventListener(
    "submit",
    ({ target }) => {
      const form = target as HTMLFormElement;
      if (!open.has(form)) tell("form_start", form);
      open.delete(form);
      tell("form_submit", form);
    },
    true,
  );
  watch((report) => {
    if (!report) return open.clear();
    open.forEach((field, form) => {
      if (field) tell("form_leave", form, field);
      open.set(form, "");
    });
  });
};

export default forms;
