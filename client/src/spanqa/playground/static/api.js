// Calls to the program that serves this page. An error is thrown with all that the server said.

export class CallError extends Error {
  constructor(reply) {
    super(reply.message);
    this.reply = reply;
  }
}

async function call(path, init) {
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new CallError({
      code: "NO CONNECTION",
      message: "The program that serves this page does not answer.",
      remedy: "start it again: spanqa playground",
      fields: [],
    });
  }
  const isJson = (response.headers.get("content-type") ?? "").startsWith("application/json");
  if (!isJson) {
    const message = `${response.status} ${response.statusText}`;
    throw new CallError({ code: "HTTP", message, remedy: (await response.text()).trim(), fields: [] });
  }
  const reply = await response.json();
  if (!response.ok) throw new CallError(reply);
  return reply;
}

function post(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return call(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

export const getModel = () => call("api/model");
export const askQuestion = (asked, signal) => post("api/answer", asked, signal);
export const getWindows = (question, text, signal) => post("api/windows", { question, text }, signal);
