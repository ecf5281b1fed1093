// Text that makes a careless reader slow: one piece, over and over, at a size that doubles until it can't come any more.
import { leastMs } from './run-target.ts';
import type { Target } from './target.ts';

const PIECES = [
  ...[',', '"', '/', '\\', ' ', '\n', ':', '.', '-', '_', '=', '[', '{"a":', '0', '0,', 'a', 'a.', '\\n'],
  ...['é', '\ud800'],
];
const FIRST = 2 ** 14;

export interface Slow {
  readonly target: string;
  readonly piece: string;
  readonly size: number;
  readonly ms: number;
}

/** Three ways in which it may come. */
const textsOf = (example: string, piece: string, size: number): readonly string[] => {
  const run = piece.repeat(Math.ceil(size / piece.length)).slice(0, size);
  const middle = Math.floor(example.length / 2);
  // With an end that matches nothing, what has matched so far is tried again.
  return [`${run}!`, `${example}${run}!`, `${example.slice(0, middle)}${run}${example.slice(middle)}`];
};

async function msOf(target: Target, text: string, mostMs: number): Promise<number> {
  const begin = performance.now();
  try {
    await target.parse(text);
  } catch {
    // What it does with it is judged elsewhere.
  }
  return leastMs(target, text, performance.now() - begin, mostMs);
}

/** Each piece with the size from which it takes too long; a quadratic reader is found out at a fraction of a megabyte. */
export async function findSlow(
  target: Target,
  mostMs: number,
  pieces: readonly string[] = PIECES,
): Promise<readonly Slow[]> {
  const slow: Slow[] = [];
  const example = String(target.examples[0]);
  for (const piece of pieces) {
    let ms = 0;
    for (let size = FIRST; size <= target.most && ms <= mostMs; size *= 8) {
      for (const text of textsOf(example, piece, size))
        ms = ms > mostMs ? ms : await msOf(target, text, mostMs);
      if (ms > mostMs) slow.push({ target: target.name, piece, size, ms: Math.round(ms) });
    }
  }
  return slow;
}
