// How an answer is shown: for people as tables and lines, with `-o json` as the JSON of the API.
import Table from 'cli-table3';
import type { CliContext } from './context.ts';
import { makePaint, type Paint, plain } from './paint.ts';

/** A cell that is text from outside, or one that was painted already. */
export type Cell = string | number | null | undefined | { readonly painted: string };

export interface View {
  readonly paint: Paint;
  /** A state in its colour. */
  readonly line: (text: string) => void;
  readonly table: (head: readonly string[], rows: readonly (readonly Cell[])[]) => void;
  /** Names and values under each other; those without a value are left out. */
  readonly facts: (facts: readonly (readonly [string, Cell])[]) => void;
}

/** Prints `value` as JSON, or lets `show` say it. */
export function print(context: CliContext, value: unknown, show: (view: View) => void): void {
  if (context.options().output === 'json') {
    context.io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
    return;
  }
  show(makeView(context));
}

/** Something by the way: never in the way of what reads the output. */
export const note = ({ io }: CliContext, text: string): void => {
  io.stderr.write(`${text}\n`);
};

function makeView({ io }: CliContext): View {
  const line = (text: string) => {
    io.stdout.write(`${text}\n`);
  };
  const paint = makePaint(io.stdout, io.env);
  return {
    paint,
    line,
    table: (head, rows) => line(toTable([head.map((name) => ({ painted: paint('strong', name) })), ...rows])),
    facts: (facts) => {
      const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== '');
      line(toTable(known.map(([name, value]) => [{ painted: paint('faint', name) }, value])));
    },
  };
}

const LINES = [
  'top',
  'top-mid',
  'top-left',
  'top-right',
  'bottom',
  'bottom-mid',
  'bottom-left',
  'bottom-right',
  'left',
  'left-mid',
  'mid',
  'mid-mid',
  'right',
  'right-mid',
] as const;

function toTable(rows: readonly (readonly Cell[])[]): string {
  const table = new Table({
    chars: { ...Object.fromEntries(LINES.map((name) => [name, ''])), middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
  });
  for (const row of rows) table.push(row.map(toText));
  return table
    .toString()
    .split('\n')
    .map((text) => text.trimEnd())
    .join('\n');
}

function toText(cell: Cell): string {
  if (cell === null || cell === undefined) return '–';
  if (typeof cell === 'object') return cell.painted;
  return plain(String(cell));
}

/** `3 servers`, `1 server`. */
export const count = (many: number, one: string, others = `${one}s`): string =>
  `${many.toLocaleString('en')} ${many === 1 ? one : others}`;

/** An instant of the API, to the second. */
export const instant = (text: string | null): string | null =>
  text === null ? null : text.replace('T', ' ').replace(/\.\d+Z$/, 'Z');
