// The kinds of settings that config.ts is made of: each reads one text, and says in words what it takes.
import * as z from 'zod';

/** What an operator is told about a setting. */
export interface SettingInfo {
  readonly unit: string;
  /** null: none; the setting is required, or what it is for stays off. */
  readonly default: string | null;
  readonly limits: string;
  readonly meaning: string;
}

export const settingInfo = z.registry<SettingInfo>();

type About = Pick<SettingInfo, 'meaning'>;

/** Thrown by the reader of a setting; the message goes on from "X is ". */
class Unreadable extends Error {}

interface Reading<T> {
  readonly read: (text: string) => T;
  /** Whether a message may repeat what was given. Where people paste secrets, by right or by mistake, it may not. */
  readonly isShown: boolean;
}

function readInto<T>({ read, isShown }: Reading<T>, text: string, context: z.core.$RefinementCtx): T {
  try {
    return read(text);
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    const shown = isShown ? `${JSON.stringify(text.slice(0, 100))}, ` : '';
    context.addIssue({ code: 'custom', message: `is ${shown}${error.message}` });
    return z.NEVER;
  }
}

/** A setting that always has a value; without a default it must be given. */
function required<T>(info: SettingInfo, reading: Reading<T>) {
  return z
    .string()
    .optional()
    .transform((given, context) => {
      const text = given ?? info.default;
      if (text !== null) return readInto(reading, text, context);
      context.addIssue({ code: 'custom', message: 'is missing' });
      return z.NEVER;
    })
    .register(settingInfo, info);
}

/** A setting that may be left out. */
function optional<T>(info: SettingInfo, reading: Reading<T>) {
  return z
    .string()
    .optional()
    .transform((given, context) => (given === undefined ? null : readInto(reading, given, context)))
    .register(settingInfo, info);
}

interface Range {
  readonly min: number;
  readonly max: number;
}

const numberReading = ({ min, max }: Range, pattern: RegExp, what: string): Reading<number> => ({
  isShown: true,
  read(text) {
    if (!pattern.test(text)) throw new Unreadable(`not ${what}`);
    const value = Number(text);
    if (value < min) throw new Unreadable(`less than ${min}`);
    if (value > max) throw new Unreadable(`more than ${max}`);
    return value;
  },
});

const wholeNumber = (range: Range) => numberReading(range, /^\d{1,15}$/, 'a whole number');
const toLimits = ({ min, max }: Range) => `${min} to ${max}`;

export const whole = (about: About & Range & { readonly unit: string; readonly fallback: number }) =>
  required(
    { unit: about.unit, default: String(about.fallback), limits: toLimits(about), meaning: about.meaning },
    wholeNumber(about),
  );

export const optionalWhole = (about: About & Range & { readonly unit: string }) =>
  optional(
    { unit: about.unit, default: null, limits: toLimits(about), meaning: about.meaning },
    wholeNumber(about),
  );

export const fraction = (about: About & Range & { readonly fallback: number }) =>
  required(
    { unit: 'share', default: String(about.fallback), limits: toLimits(about), meaning: about.meaning },
    numberReading(about, /^(?:\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})$/, 'a number such as 0.5'),
  );

export const choice = <const T extends string>(
  about: About & { readonly of: readonly T[]; readonly fallback: NoInfer<T> | null },
) =>
  required(
    { unit: 'one of', default: about.fallback, limits: about.of.join(', '), meaning: about.meaning },
    {
      isShown: true,
      read(text) {
        const chosen = about.of.find((one) => one.toLowerCase() === text.toLowerCase());
        if (chosen === undefined) throw new Unreadable(`not one of ${about.of.join(', ')}`);
        return chosen;
      },
    },
  );

interface TextRule extends About {
  readonly unit: string;
  readonly limits: string;
  /** What is wrong with the text; null when nothing is. */
  readonly fault?: (text: string) => string | null;
}

const textReading = ({ fault }: TextRule, isShown: boolean): Reading<string> => ({
  isShown,
  read(text) {
    const wrong = fault?.(text) ?? null;
    if (wrong !== null) throw new Unreadable(wrong);
    return text;
  },
});

export const text = (rule: TextRule & { readonly fallback: string }) =>
  required(
    { unit: rule.unit, default: rule.fallback, limits: rule.limits, meaning: rule.meaning },
    textReading(rule, true),
  );

export const optionalText = (rule: TextRule) =>
  optional(
    { unit: rule.unit, default: null, limits: rule.limits, meaning: rule.meaning },
    textReading(rule, false),
  );
