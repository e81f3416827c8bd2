// The windows of a text, and how likely the model finds each token as start or end.

import { getWindows } from "./api.js";
import { byId, count, element, number, percent } from "./dom.js";

const CONTEXT = 2;
/** Tokens below this probability are not tinted. */
const VISIBLE = 0.005;

let running = null;

/** Offers the windows of each text that was asked about. */
export function offerWindows(asked, limit, onError) {
  running?.abort();
  byId("windows").replaceChildren();
  byId("windows-status").textContent = "";
  const several = asked.documents.length > 1;
  const suitable = asked.documents.filter(({ text }) => text.length <= limit && text.trim());
  const left = asked.documents.length - suitable.length;
  byId("windows-note").textContent = left
    ? `Shown for texts of up to ${number(limit)} characters.`
    : "A long text is read in windows that share some tokens. They are computed again when you ask to see them.";
  byId("windows-buttons").replaceChildren(
    ...suitable.slice(0, 20).map((each) => {
      const label = several ? `Show those of ${each.id}` : "Show windows and tokens";
      const button = element("button", { type: "button" }, element("bdi", {}, label));
      button.addEventListener("click", () => show(asked.question, each, onError));
      return button;
    }),
  );
}

async function show(question, { id, text }, onError) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  byId("windows-status").textContent = "Computing the windows…";
  try {
    const reply = await getWindows(question, text, signal);
    byId("windows").replaceChildren(legend(), strip(reply.windows), ...reply.windows.map((window, index) => row(window, index, question, text)));
    byId("windows-status").textContent = `${count(reply.windows.length, "window")} of ${id}.`;
  } catch (error) {
    if (signal.aborted) return;
    byId("windows-status").textContent = "";
    onError(error);
  }
}

function legend() {
  return element("p", { className: "note legend" },
    element("span", { className: "token", "--start": 1 }, "likely start"), " ",
    element("span", { className: "token", "--end": 1 }, "likely end"), " ",
    element("span", { className: "token other" }, "question and special tokens"));
}

/** Where the windows lie on the text, from its first character to its last. */
function strip(windows) {
  const length = Math.max(1, ...windows.map(({ characters }) => characters[1]));
  return element("div", { className: "strip", "aria-hidden": "true" },
    ...windows.map(({ characters: [from, to] }) =>
      element("span", { "--from": from / length, "--share": (to - from) / length })));
}

function row(window, index, question, text) {
  const starts = shares(window.start_logits, window.kinds);
  const ends = shares(window.end_logits, window.kinds);
  const [from, to] = window.characters;
  const title = `Window ${index + 1}: characters ${number(from)} to ${number(to)}, ${count(window.tokens.length, "token")}`;
  const details = element("details", { className: "window" }, element("summary", {}, title));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(...tokens(window, starts, ends, question, text));
  });
  return details;
}

function tokens(window, starts, ends, question, text) {
  const word = (index) => (window.kinds[index] === CONTEXT ? text : question)
    .slice(window.starts[index], window.ends[index]) || window.tokens[index];
  const best = (values) => values.indexOf(Math.max(...values));
  const [start, end] = [best(starts), best(ends)];
  const sentence = element("p", { className: "note" },
    "Within this window, the likeliest start is ", element("bdi", {}, word(start)), ` (${percent(starts[start])}), the likeliest end `,
    element("bdi", {}, word(end)), ` (${percent(ends[end])}).`);
  const list = element("p", { className: "tokens", dir: "auto" });
  window.tokens.forEach((token, index) => {
    const piece = element("span", { className: window.kinds[index] === CONTEXT ? "token" : "token other" }, token);
    if (starts[index] > VISIBLE) piece.style.setProperty("--start", starts[index]);
    if (ends[index] > VISIBLE) piece.style.setProperty("--end", ends[index]);
    list.append(piece, " ");
  });
  return [sentence, list];
}

/** Softmax over the tokens of the text; 0 for the others. */
function shares(logits, kinds) {
  const top = Math.max(...logits.filter((_, index) => kinds[index] === CONTEXT));
  const weights = logits.map((logit, index) => (kinds[index] === CONTEXT ? Math.exp(logit - top) : 0));
  const sum = weights.reduce((total, weight) => total + weight, 0) || 1;
  return weights.map((weight) => weight / sum);
}
