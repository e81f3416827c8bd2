// Small helpers. Texts of users and of the server become text nodes, never markup.

export const byId = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("--")) made.style.setProperty(key, value);
    else if (key.includes("-") || key === "role" || key === "dir") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

const whole = new Intl.NumberFormat("en");
const percents = new Intl.NumberFormat("en", {
  style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1,
});

export const number = (value) => whole.format(value);
/** A share that is not 0 is not shown as if it were. */
export const percent = (share) =>
  share > 0 && share < 0.0005 ? "under 0.1%" : percents.format(share);
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

export function duration(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  const milliseconds = seconds * 1000;
  return `${milliseconds >= 10 ? milliseconds.toFixed(0) : milliseconds.toFixed(1)} ms`;
}
