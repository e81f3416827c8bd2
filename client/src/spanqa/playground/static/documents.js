// The texts that are asked about: one at first, more as they are added.

import { directionOf } from "./direction.js";
import { byId, count, element } from "./dom.js";

/** Browsers take minutes to paste a megabyte as if it were typed. */
const LARGE_PASTE = 20_000;

const list = byId("documents");
const template = byId("document-template");

const fields = () => [...list.children];
const textarea = (field) => field.querySelector("textarea");
const nameInput = (field) => field.querySelector(".id");

export const documents = () =>
  fields().map((field) => ({ id: nameInput(field).value, text: textarea(field).value }));

/** The text's input, by its number. */
export const inputOf = (index) => (fields()[index] ? textarea(fields()[index]) : null);

export function addDocument(name = "", text = "") {
  const field = template.content.firstElementChild.cloneNode(true);
  const number = fields().length + 1;
  nameInput(field).value = name || `Text ${number}`;
  list.append(field);
  setText(field, text);
  field.querySelector(".remove").addEventListener("click", () => remove(field));
  textarea(field).addEventListener("input", () => textChanged(field));
  textarea(field).addEventListener("paste", pasteLarge);
  renumber();
  return textarea(field);
}

/** Replaces all texts by these; an empty list leaves one empty text. */
export function setDocuments(texts) {
  list.replaceChildren();
  for (const { id, text } of texts) addDocument(id, text);
  if (!texts.length) addDocument();
}

export async function addFiles(files) {
  const texts = await Promise.all(
    [...files].map(async (file) => ({ id: file.name, text: await file.text() })),
  );
  const kept = documents().filter((each) => each.text !== "");
  setDocuments([...kept, ...texts]);
  inputOf(kept.length)?.focus();
}

/** Puts a long text in as a whole; it cannot be undone then. */
function pasteLarge(event) {
  const text = event.clipboardData.getData("text/plain");
  if (text.length < LARGE_PASTE) return;
  event.preventDefault();
  const area = event.target;
  area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

function setText(field, text) {
  textarea(field).value = text;
  textChanged(field);
}

function remove(field) {
  const index = fields().indexOf(field);
  field.remove();
  renumber();
  list.dispatchEvent(new Event("input", { bubbles: true }));
  inputOf(Math.max(0, index - 1)).focus();
}

function textChanged(field) {
  const area = textarea(field);
  const text = area.value;
  area.dir = directionOf(text);
  let wide = 0;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit < 0xdc00) wide += 1;
  }
  field.querySelector(".count").textContent = count(text.length - wide, "character");
}

function renumber() {
  const several = fields().length > 1;
  fields().forEach((field, index) => {
    const label = several ? `Text ${index + 1}` : "Text";
    field.querySelector("legend").textContent = label;
    textarea(field).setAttribute("aria-label", label);
    textarea(field).rows = several ? 8 : 16;
    nameInput(field).setAttribute("aria-label", `Name of text ${index + 1}`);
    const button = field.querySelector(".remove");
    button.replaceChildren("Remove", element("span", { className: "unseen" }, ` text ${index + 1}`));
    field.querySelector(".naming").hidden = !several;
  });
}
