// How values stand in the columns of a table. Table Storage has no null: an empty string, or the JSON `null`, says
// "none", so that a column that is missing is a fault and never a silent default. Dates are ISO text, which keeps them
// exact and in order.
import * as z from 'zod';
import { parseJson } from '../../domain/parse-json.ts';

export type Columns = Readonly<Record<string, string | number | boolean>>;

export const instant = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
});

/** A whole number from 0, within what an Int32 column holds. */
export const count = z.int32().nonnegative();

/** Invariant I-09: a version that is stored is concrete; "latest" and "" never are. */
export const keyVersion = z.string().regex(/^[0-9a-f]{32}$/, 'not a concrete key version');

export const base64Url = z.string().regex(/^[A-Za-z0-9_-]+$/, 'not base64url');

/** Text, or `inner` as text; null as an empty string. */
export const orNone = <T>(inner: z.ZodType<T, string>) =>
  z.codec(z.string(), inner.nullable(), {
    decode: (text) => (text === '' ? null : text),
    encode: (value) => value ?? '',
  });

/** JSON text of what `schema` describes. */
export const json = <S extends z.ZodType>(schema: S) =>
  z.codec(z.string(), schema, {
    decode: (text, context): z.input<S> => {
      const value = parseJson(text);
      // The schema itself looks at it next.
      if (value !== undefined) return value as z.input<S>;
      context.issues.push({ code: 'custom', input: null, message: 'not JSON' });
      return z.NEVER;
    },
    encode: (value: z.input<S>) => JSON.stringify(value),
  });

/** An object whose unknown properties stay on the value, and so are written back. */
export const kept = <S extends z.core.$ZodShape>(shape: S): z.ZodObject<S> =>
  z.looseObject(shape) as unknown as z.ZodObject<S>;

// A string column holds 32 K characters of UTF-16. Longer text goes on in `name_1`, `name_2`.
const LONGEST = 32_000;

/** Columns as they are stored: long text in pieces. */
export function splitLong(columns: Columns): Columns {
  const pieces = Object.entries(columns).flatMap(([name, value]) =>
    typeof value === 'string' && value.length > LONGEST
      ? cut(value).map((piece, index) => [index === 0 ? name : `${name}_${index}`, piece] as const)
      : [[name, value] as const],
  );
  return Object.fromEntries(pieces);
}

function cut(text: string): readonly string[] {
  const pieces: string[] = [];
  for (let start = 0; start < text.length; ) {
    let end = Math.min(start + LONGEST, text.length);
    const last = text.charCodeAt(end - 1);
    // Not between the halves of a surrogate pair: alone they are not valid text.
    if (end < text.length && last >= 0xd800 && last <= 0xdbff) end -= 1;
    pieces.push(text.slice(start, end));
    start = end;
  }
  return pieces;
}

/** The reverse of {@link splitLong}, for the columns in `known`. */
export function joinLong(
  entity: Readonly<Record<string, unknown>>,
  known: ReadonlySet<string>,
): Readonly<Record<string, unknown>> {
  const joined: Record<string, unknown> = {};
  for (const name of known) {
    let value = entity[name];
    for (let index = 1; typeof value === 'string'; index += 1) {
      const piece = entity[`${name}_${index}`];
      if (typeof piece !== 'string') break;
      value += piece;
    }
    joined[name] = value;
  }
  return joined;
}

/** Whether a column is in `known`, or a further piece of one that is. */
export const isKnownColumn = (name: string, known: ReadonlySet<string>): boolean =>
  known.has(name) || known.has(name.replace(/_\d+$/, ''));
