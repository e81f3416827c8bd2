// What came back: the answers as a list, marked in their texts; time and size.

import { byId, count, duration, element, number, percent } from "./dom.js";
import { markedText, reveal } from "./marks.js";

let places = new Map();

/** Shows a reply to what was asked; returns one sentence about it. */
export function showReply(asked, reply, seconds) {
  const ranked = reply.answers.map((answer, index) => ({ ...answer, rank: index + 1 }));
  showTexts(asked.documents, ranked);
  byId("answers").replaceChildren(
    ...(reply.no_answer ? [noAnswerRow(reply.no_answer_probability)] : []),
    ...ranked.map((answer) => answerRow(answer, asked.documents)),
  );
  showTiming(reply.timing, seconds);
  showUsage(reply);
  byId("stale").hidden = true;
  byId("reply").hidden = false;
  if (ranked.length) choose(1);
  return summary(ranked, reply, seconds);
}

function summary(ranked, reply, seconds) {
  const took = `in ${duration(seconds)}`;
  if (reply.no_answer) {
    return `The model found no answer, ${took}: probability ${percent(reply.no_answer_probability)}.`;
  }
  if (!ranked.length) return `No answer, ${took}.`;
  const [best] = ranked;
  return `${count(ranked.length, "answer")} ${took}. Best: ${best.text}, ${percent(best.probability)}.`;
}

function answerRow(answer, documents) {
  const [start, end] = answer.characters;
  const where = documents.length > 1 ? ` of ${documents[answer.document_index].id}` : "";
  const button = element(
    "button",
    { type: "button", className: "answer" },
    element("bdi", { className: "words" }, answer.text),
    element("span", { className: "place" }, `characters ${number(start)} to ${number(end)}${where}`),
    probabilityBar(answer.probability),
  );
  button.dataset.rank = answer.rank;
  button.addEventListener("click", () => choose(answer.rank, true));
  return element("li", {}, button);
}

function noAnswerRow(probability) {
  const words = element("span", { className: "words" }, "No answer in the text");
  return element("li", { className: "none" }, element("div", { className: "answer" }, words, probabilityBar(probability)));
}

function probabilityBar(probability) {
  return element(
    "span",
    { className: "probability" },
    element("span", { className: "bar", "aria-hidden": "true", "--share": probability }, element("span")),
    element("span", { className: "figure" }, element("span", { className: "unseen" }, "probability "), percent(probability)),
  );
}

function showTexts(documents, ranked) {
  places = new Map();
  const sections = documents.flatMap(({ id, text }, index) => {
    const answers = ranked.filter((answer) => answer.document_index === index);
    if (documents.length > 1 && !answers.length) return [];
    return [markedSection(documents.length > 1 ? id : "", text, answers)];
  });
  const without = documents.length - sections.length;
  const note = `${count(without, "text")} without these answers ${without === 1 ? "is" : "are"} not shown.`;
  const rest = without ? [element("p", { className: "note" }, note)] : [];
  byId("texts").replaceChildren(...sections, ...rest);
}

function markedSection(name, text, answers) {
  const title = name ? `In ${name}` : "In the text";
  const { nodes, marks } = markedText(text, answers);
  const box = element(
    "div",
    { className: "marked", tabIndex: 0, role: "region", "aria-label": title },
    ...nodes,
  );
  for (const [rank, mark] of marks) places.set(rank, { mark, box });
  return element("section", {}, element("h3", {}, element("bdi", {}, title)), box);
}

/** Makes one answer the current one, in the list and in the text. */
function choose(rank, byUser = false) {
  for (const button of document.querySelectorAll("button.answer")) {
    const chosen = Number(button.dataset.rank) === rank;
    if (chosen) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  for (const { mark } of places.values()) mark.classList.remove("current");
  const { mark, box } = places.get(rank);
  mark.classList.add("current");
  reveal(mark, box);
  if (byUser) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    box.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
    byId("status").textContent = `Answer ${rank} is in the middle of its text: ${around(mark)}`;
  }
}

function around(mark) {
  const before = (mark.previousSibling?.textContent ?? "").slice(-60);
  const after = (mark.nextSibling?.textContent ?? "").slice(0, 60);
  return `…${before}${mark.textContent}${after}…`.replace(/\s+/g, " ").toWellFormed();
}

const STAGES = [["tokenize", "tokenize"], ["queue", "wait"], ["infer", "model"], ["decode", "find spans"]];

function showTiming(timing, seconds) {
  const rows = STAGES.map(([key, label]) => [label, timing[key], timing[key] / (timing.total || 1)]);
  byId("timing").replaceChildren(
    ...rows.flatMap(([label, value, share]) => [
      element("dt", {}, label),
      element("dd", {},
        element("span", { className: "bar", "aria-hidden": "true", "--share": Math.min(1, share) }, element("span")),
        element("span", { className: "figure" }, duration(value))),
    ]),
    element("dt", {}, "at the server"),
    element("dd", {}, element("span"), element("strong", { className: "figure" }, duration(timing.total))),
    element("dt", {}, "on this page"),
    element("dd", {}, element("span"), element("span", { className: "figure" }, duration(seconds))),
  );
}

function showUsage({ usage, model_version: version }) {
  const facts = [
    ["question", count(usage.question_tokens, "token")],
    ["texts", count(usage.context_tokens, "token")],
    ["read in", count(usage.windows, "window")],
    ["answered by", `version ${version}`],
  ];
  byId("usage").replaceChildren(
    ...facts.flatMap(([label, value]) => [element("dt", {}, label), element("dd", {}, value)]),
  );
}
