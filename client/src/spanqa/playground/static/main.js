// Wires the page together: the form, one question at a time, and what comes back.

import { CallError, askQuestion, getModel } from "./api.js";
import { showReply } from "./answers.js";
import { addDocument, addFiles, documents, setDocuments } from "./documents.js";
import { byId, element, number } from "./dom.js";
import { clearProblem, showProblem } from "./problem.js";
import { offerWindows } from "./windows.js";

let model = null;
let running = null;

async function loadModel() {
  try {
    model = await getModel();
  } catch (error) {
    byId("model").replaceChildren("No model: ", error instanceof CallError ? error.reply.code : String(error));
    fail(error);
    return;
  }
  byId("model").replaceChildren(
    element("strong", {}, model.name), ` version ${model.version} · ${model.dtype} · windows of ${number(model.max_sequence_tokens)} tokens · `,
    element("span", { className: "target" }, model.target),
  );
  byId("top_k").max = model.limits.max_top_k;
  byId("max_answer_tokens").max = model.limits.max_answer_tokens;
  byId("allow_no_answer").disabled = !model.has_no_answer;
  byId("no-answer-note").textContent = model.has_no_answer
    ? ""
    : "This model was trained on questions that have an answer: it always gives one.";
}

function question() {
  const options = { allow_no_answer: byId("allow_no_answer").checked };
  for (const id of ["top_k", "max_answer_tokens"]) {
    if (byId(id).value) options[id] = byId(id).valueAsNumber;
  }
  return { question: byId("question").value, documents: documents(), options };
}

async function ask() {
  running?.abort();
  const current = new AbortController();
  running = current;
  clearProblem();
  busy(true);
  byId("status").textContent = "Reading…";
  const asked = question();
  const begin = performance.now();
  try {
    const reply = await askQuestion(asked, current.signal);
    if (model === null) await loadModel();
    byId("status").textContent = showReply(asked, reply, (performance.now() - begin) / 1000);
    byId("status").scrollIntoView({ block: "nearest" });
    offerWindows(asked, model?.max_windows_characters ?? 0, fail);
  } catch (error) {
    if (running !== current) return;
    if (current.signal.aborted) byId("status").textContent = "Cancelled.";
    else fail(error);
  } finally {
    if (running === current) busy(false);
  }
}

function fail(error) {
  if (!(error instanceof CallError)) throw error;
  byId("status").textContent = "";
  byId("reply").hidden = true;
  showProblem(error.reply);
  byId("problem").scrollIntoView({ block: "nearest" });
}

function busy(is) {
  byId("result").setAttribute("aria-busy", String(is));
  byId("ask").textContent = is ? "Asking…" : "Ask";
  byId("cancel").hidden = !is;
}

async function useExample() {
  const text = await (await fetch("example.txt")).text();
  setDocuments([{ id: "Fastnet Rock", text }]);
  byId("question").value = "Who designed the first lighthouse?";
  byId("question").focus();
  changed();
}

const changed = () => {
  byId("stale").hidden = false;
};

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
byId("form").addEventListener("input", changed);
byId("cancel").addEventListener("click", () => {
  byId("ask").focus();
  running?.abort();
});
byId("add").addEventListener("click", () => addDocument().focus());
byId("files").addEventListener("change", async ({ target }) => {
  await addFiles(target.files);
  target.value = "";
});
byId("example").addEventListener("click", useExample);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    ask();
  }
});

setDocuments([]);
loadModel();
