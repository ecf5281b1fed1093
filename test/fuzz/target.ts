// A parser at the boundary, with what is fed to it and what it may do: give a value, or refuse by one of its own codes.
import type fc from 'fast-check';
import { editText, editValue, type Recipe, recipes, toJsonText } from './edits.ts';

export interface Target {
  readonly name: string;
  /** The codes that it may refuse by; anything else that is thrown is a fault. */
  readonly codes: readonly string[];
  readonly examples: readonly unknown[];
  readonly build: (recipe: Recipe) => unknown;
  readonly parse: (input: unknown) => unknown;
  readonly arbitrary: fc.Arbitrary<Recipe>;
  /** It takes text, and is tried with what makes text slow to read. */
  readonly isText: boolean;
  /** Of the inputs of a long run, where it is slower than the others by its nature (signatures); by itself 1. */
  readonly share: number;
  /** Characters and members that can come at most: what carries the input takes no more. */
  readonly most: number;
}

interface Options<T> {
  readonly name: string;
  readonly codes: readonly string[];
  /** Each of them must give a value. */
  readonly examples: readonly T[];
  readonly parse: (input: T) => unknown;
  readonly share?: number;
  readonly most?: number;
}

/** An Event Grid event and a message of an event hub are this large at most, and an entity of a table. */
const MEGABYTE = 2 ** 20;
/** An argument of a command, on Linux. */
export const ARGUMENT = 128 * 1024;
/** A message of a storage queue. */
export const QUEUE_MESSAGE = 64 * 1024;
/** As much of a file as is read at once; a file itself may be of any size. */
export const PIECE_OF_FILE = 64 * 1024;
/** A row: half a megabyte of UTF-16. */
export const TABLE_ROW = 512 * 1024;

const pick = <T>(items: readonly T[], base: number): T => {
  const item = items[base % items.length];
  if (item === undefined) throw new Error('a target without examples');
  return item;
};

/** Of text. */
export const textTarget = ({ share = 1, most = MEGABYTE, ...target }: Options<string>): Target => ({
  ...target,
  build: ({ base, edits }) => editText(pick(target.examples, base), edits).slice(0, most),
  parse: (input) => target.parse(String(input)),
  arbitrary: recipes,
  isText: true,
  share,
  most,
});

/** Of a value that is no text any more when it comes: the host has parsed it. */
export const valueTarget = ({ share = 1, most = MEGABYTE, ...target }: Options<unknown>): Target => ({
  ...target,
  build: ({ base, edits }) => editValue(pick(target.examples, base), edits),
  arbitrary: recipes,
  isText: false,
  share,
  most,
});

/** Of JSON text: the value is changed, the text is changed, or both. */
export const jsonTarget = ({ share = 1, most = MEGABYTE, ...target }: Options<string>): Target => ({
  ...target,
  build: ({ base, edits }) => {
    const text = pick(target.examples, base);
    const isOfText = base % 3 === 0;
    const made = isOfText ? editText(text, edits) : toJsonText(editValue(JSON.parse(text), edits));
    return made.slice(0, most);
  },
  parse: (input) => target.parse(String(input)),
  arbitrary: recipes,
  isText: true,
  share,
  most,
});
