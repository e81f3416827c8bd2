// A text with its answers marked: the DOM's text is exactly the text, whatever it holds.

import { directionOf } from "./direction.js";
import { element } from "./dom.js";

/** About so many UTF-16 units make a block; blocks out of sight cost no layout. */
const BLOCK = 4096;

/** A line that is longer is cut, too, where it has a space or a Chinese stop; layout takes minutes else. */
const LONG_BLOCK = 20_000;
const PLACE_TO_CUT = /[\s\u3001\u3002\uff0c]/g;

/**
 * Cuts a text into blocks of whole lines, so that no answer is cut.
 * @param {string} text
 * @param {{start: number, end: number}[]} answers sorted by start, without overlap
 * @returns {[number, number][]} half-open ranges that join up to the whole text
 */
export function blocks(text, answers) {
  const ranges = [];
  let from = 0;
  while (text.length - from > BLOCK) {
    let to = nextCut(text, from + BLOCK);
    for (const { start, end } of answers) {
      if (start < to && to < end) to = nextCut(text, end);
    }
    ranges.push([from, to]);
    from = to;
  }
  if (from < text.length || !ranges.length) ranges.push([from, text.length]);
  return ranges;
}

/** The first place to cut at or after a position. */
function nextCut(text, at) {
  const line = text.indexOf("\n", at) + 1;
  if (line && line - at <= LONG_BLOCK) return line;
  PLACE_TO_CUT.lastIndex = at + LONG_BLOCK;
  const place = PLACE_TO_CUT.exec(text);
  return place ? place.index + 1 : text.length;
}

/**
 * Builds the marked text.
 * @param {string} text
 * @param {{start: number, end: number, rank: number}[]} answers offsets in UTF-16 units
 * @returns {{nodes: HTMLElement[], marks: Map<number, HTMLElement>}} the marks by rank
 */
export function markedText(text, answers) {
  const sorted = [...answers].sort((a, b) => a.start - b.start);
  const marks = new Map();
  let next = 0;
  const nodes = blocks(text, sorted).map(([from, to]) => {
    const block = element("div", { className: "block" });
    if (to - from > 2 * LONG_BLOCK) {
      block.classList.add("long");
      block.dir = directionOf(text.slice(from, from + 1000));
    }
    let at = from;
    for (; next < sorted.length && sorted[next].start < to; next += 1) {
      const { start, end, rank } = sorted[next];
      const mark = element("mark", { className: rank === 1 ? "best" : "" }, text.slice(start, end));
      mark.dataset.rank = rank;
      marks.set(rank, mark);
      block.classList.add("marks");
      block.append(text.slice(at, start), mark);
      at = end;
    }
    block.append(text.slice(at, to));
    return block;
  });
  return { nodes, marks };
}

/** Brings a mark to the middle of its box, without moving the page. */
export function reveal(mark, box) {
  const center = () => {
    const [inner, outer] = [mark.getBoundingClientRect(), box.getBoundingClientRect()];
    box.scrollTop += inner.top - outer.top - (outer.height - inner.height) / 2;
  };
  center();
  // Blocks that come into sight get their true height: where the mark is, is known then.
  requestAnimationFrame(() => {
    center();
    requestAnimationFrame(center);
  });
}
