// Near-valid inputs: a valid example, and what was done to it. A recipe is small however large the input that it makes,
// so that a failing one can be shown, and shrunk.
import fc from 'fast-check';

const KINDS = ['drop', 'double', 'odd', 'rename', 'swap', 'wrap', 'long', 'many', 'flip'] as const;

interface Edit {
  readonly kind: (typeof KINDS)[number];
  /** Where, as a number that is taken modulo the places there are. */
  readonly at: number;
  readonly by: number;
  readonly size: number;
}

export interface Recipe {
  /** Which example. */
  readonly base: number;
  readonly edits: readonly Edit[];
}

/** Mostly small; one in two thousand reaches a megabyte. */
const size = fc.oneof(
  { weight: 2000, arbitrary: fc.integer({ min: 0, max: 64 }) },
  { weight: 60, arbitrary: fc.integer({ min: 0, max: 12 }).map((power) => 2 ** power) },
  { weight: 6, arbitrary: fc.integer({ min: 13, max: 17 }).map((power) => 2 ** power) },
  { weight: 1, arbitrary: fc.constant(2 ** 20) },
);

const edit = fc.record({ kind: fc.constantFrom(...KINDS), at: fc.nat(), by: fc.nat(), size });

export const recipes: fc.Arbitrary<Recipe> = fc.record({
  base: fc.nat(),
  edits: fc.array(edit, { maxLength: 4 }),
});

/** Text that parsers are known to stumble over. */
const ODD_TEXTS: readonly string[] = [
  ...[
    '',
    ' ',
    '\u0000',
    '\r',
    '\n',
    '\r\n',
    '\t',
    '\u2028',
    '\ufeff',
    '\ud800',
    '\udc00',
    '𝒳',
    'İ',
    'ſ',
    '％',
  ],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'null', 'undefined', 'NaN', 'Infinity', '-0'],
  ...['1e400', '-1e400', '0x10', '1.5', '-1', '9'.repeat(400), '9007199254740993', '00', '٣'],
  ...['+010000-01-01T00:00:00.000Z', '9999-12-31T23:59:60Z', '0000-01-01T00:00:00Z', '2026-02-30T00:00:00Z'],
  ...['+275760-09-13T00:00:00.001Z', '-000001-01-01T00:00:00Z', 'Fri, 31 Dec 9999 23:59:59 GMT', '24:00'],
  ...['%00', '%', '%ff', '..', '/', '//', '\\', '|', ':', '"', "'", ',', ';', '*', '=', '{', '[', '}', '?#@'],
  ...['https://', 'https://[::1]/keys/k', 'https://v.vault.azure.net:99999/keys/k', 'latest', 'e30', 'W10'],
];

const nested = (depth: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

/** Made anew each time: a parser may keep what it is given. */
const ODD_VALUES: readonly ((size: number) => unknown)[] = [
  () => null,
  () => true,
  () => false,
  () => 0,
  () => -0,
  () => -1,
  () => 1.5,
  () => 2 ** 31,
  () => 2 ** 53,
  () => 1e300,
  () => Number.POSITIVE_INFINITY,
  () => [],
  () => ({}),
  () => [[[]]],
  () => ({ toString: null, valueOf: null }),
  () => ({ length: -1, size: 1 }),
  () => JSON.parse('{"__proto__":{"polluted":true}}'),
  (length) => nested(Math.min(length, 100_000)),
  (length) => Array.from({ length: Math.min(length, 200_000) }, (_, index) => index),
  (length) => Object.fromEntries(Array.from({ length: Math.min(length, 50_000) }, (_, n) => [`n${n}`, n])),
];

const oddText = (by: number): string => ODD_TEXTS[by % ODD_TEXTS.length] ?? '';
const oddValue = (by: number, length: number): unknown =>
  by % 2 === 0 ? oddText(by >> 1) : ODD_VALUES[(by >> 1) % ODD_VALUES.length]?.(length);

/** Text of about so many characters. */
const longText = (text: string, length: number): string =>
  (text === '' ? 'x' : text).repeat(Math.ceil(length / Math.max(1, text.length))).slice(0, length);

export const editText = (text: string, edits: readonly Edit[]): string => edits.reduce(editTextOnce, text);

function editTextOnce(before: string, { kind, at, by, size: length }: Edit): string {
  const start = at % (before.length + 1);
  const end = Math.min(before.length, start + 1 + (by % 8));
  const [head, middle, tail] = [before.slice(0, start), before.slice(start, end), before.slice(end)];
  switch (kind) {
    case 'drop':
      return head + tail;
    case 'double':
      return head + middle + middle + tail;
    case 'odd':
      return head + oddText(by) + tail;
    case 'rename':
      return by % 2 === 0 ? before.toUpperCase() : ` ${before}\n`;
    case 'swap':
      return tail + middle + head;
    case 'wrap':
      return head;
    case 'long':
      return head + longText(middle, length) + tail;
    case 'many':
      return head + longText(oddText(by), length) + tail;
    case 'flip':
      return head + String.fromCharCode(middle.charCodeAt(0) ^ (1 << (by % 16))) + tail;
  }
}

type Container = Record<string, unknown> | unknown[];
interface Place {
  readonly holder: Container;
  readonly name: string;
}

const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null;
const MOST_PLACES = 500;

function placesIn(root: Container): readonly Place[] {
  const places: Place[] = [];
  const left: Container[] = [root];
  for (let holder = left.shift(); holder !== undefined; holder = left.shift()) {
    for (const [name, value] of Object.entries(holder)) {
      if (places.length >= MOST_PLACES) return places;
      places.push({ holder, name });
      if (isContainer(value)) left.push(value);
    }
  }
  return places;
}

/** As an own property, whatever its name. */
const put = (holder: Container, name: string, value: unknown): void => {
  Object.defineProperty(holder, name, { value, enumerable: true, configurable: true, writable: true });
};

const get = (holder: Container, name: string): unknown =>
  Object.getOwnPropertyDescriptor(holder, name)?.value;

/** A value as JSON has it, changed. The example itself stays as it is. */
export function editValue(example: unknown, edits: readonly Edit[]): unknown {
  const root: { value: unknown } = { value: structuredClone(example) };
  for (const { kind, at, by, size: length } of edits) {
    const places = placesIn(root);
    const { holder, name } = places[at % places.length] ?? { holder: root, name: 'value' };
    const value = get(holder, name);
    switch (kind) {
      case 'drop':
        if (Array.isArray(holder)) holder.splice(Number(name), 1);
        else if (holder !== root) Reflect.deleteProperty(holder, name);
        break;
      case 'double':
        if (Array.isArray(holder)) holder.push(value);
        else put(holder, by % 2 === 0 ? name.toUpperCase() : ` ${name}`, value);
        break;
      case 'odd':
        put(holder, name, oddValue(by, length));
        break;
      case 'rename':
        put(holder, Array.isArray(holder) ? String(by % 9) : oddText(by), value);
        break;
      case 'swap': {
        const other = places[by % places.length];
        // A part of itself would make a value without an end.
        if (other === undefined || isContainer(value) || isContainer(get(other.holder, other.name))) break;
        put(holder, name, get(other.holder, other.name));
        put(other.holder, other.name, value);
        break;
      }
      case 'wrap':
        put(holder, name, by % 2 === 0 ? [value] : { [name]: value });
        break;
      case 'long':
        put(holder, name, typeof value === 'string' ? longText(value, length) : nested(length));
        break;
      case 'many':
        put(holder, name, Array.isArray(value) ? manyOf(value[0], length) : longText(oddText(by), length));
        break;
      case 'flip':
        put(
          holder,
          name,
          typeof value === 'string' ? editText(value, [{ kind, at: by, by, size: 0 }]) : !value,
        );
        break;
    }
  }
  return root.value;
}

const manyOf = (item: unknown, length: number): readonly unknown[] =>
  Array.from({ length: Math.min(length, 200_000) }, () => item);

/** JSON text; of what is too deep for JSON.stringify, as many brackets. */
export function toJsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? '';
  } catch {
    return '['.repeat(100_000) + ']'.repeat(100_000);
  }
}
