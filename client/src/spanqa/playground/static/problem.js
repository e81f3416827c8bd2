// Errors, as the server says them, and the fields that they name.

import { inputOf } from "./documents.js";
import { byId, element } from "./dom.js";

const SIMPLE = {
  question: "question",
  "options.top_k": "top_k",
  "options.max_answer_tokens": "max_answer_tokens",
  "options.allow_no_answer": "allow_no_answer",
};

export function clearProblem() {
  byId("problem").replaceChildren();
  for (const input of document.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    if (input.dataset.described) input.setAttribute("aria-describedby", input.dataset.described);
    else input.removeAttribute("aria-describedby");
  }
}

export function showProblem({ code, message, reason, retry_delay: delay, fields, remedy }) {
  const facts = [reason && `reason ${reason}`, delay !== null && delay !== undefined && `try again in ${delay} s`];
  byId("problem").replaceChildren(
    element("p", {}, element("strong", {}, code), " ", message),
    ...(fields.length ? [element("ul", {}, ...fields.map(violation))] : []),
    ...(remedy ? [element("p", { className: "remedy" }, remedy)] : []),
    ...facts.filter(Boolean).map((fact) => element("p", { className: "note" }, fact)),
  );
}

function violation({ field, description }, index) {
  const item = element("li", { id: `violation-${index}` }, element("code", {}, field), ": ", description);
  const input = inputFor(field);
  if (input) {
    input.dataset.described = input.getAttribute("aria-describedby") ?? "";
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", item.id);
    input.closest("details")?.setAttribute("open", "");
  }
  return item;
}

function inputFor(field) {
  if (field in SIMPLE) return byId(SIMPLE[field]);
  if (field === "context") return inputOf(0);
  const document_ = /^documents\[(\d+)\]/.exec(field);
  return document_ ? inputOf(Number(document_[1])) : null;
}
