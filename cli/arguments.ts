// Arguments and options, from text to what the API takes.
import { InvalidArgumentError } from 'commander';
import { type KeyUrl, keyUrl, parseKeyUrl, parseVersion } from '../shared/domain/key-id.ts';
import { cliError } from './cli-error.ts';

/** `https://{vault}/keys/{name}[/{version}]`, the same without `https://`, or in short `{vault}/{name}[/{version}]`. */
export function parseKey(text: string): KeyUrl {
  return asArgument(() => {
    if (text.includes('://')) return parseKeyUrl(text);
    const [vault = '', ...rest] = text.split('/');
    const path = isUrlPath(rest) ? rest.slice(1) : rest;
    return parseKeyUrl(`https://${vault}/keys/${path.join('/')}`);
  });
}

/** Not so where a key named `keys` is meant, with one of its versions. */
const isUrlPath = ([keys, name = '', version]: readonly string[]): boolean =>
  keys === 'keys' && name !== '' && (version !== undefined || !/^[0-9a-f]{32}$/i.test(name));

export const toKeyUrl = ({ kek, version }: KeyUrl): string => keyUrl(kek, version ?? undefined);

/** The route of a key; a vault's host may hold a port. */
export const keyPath = ({ kek }: KeyUrl): string =>
  `/api/keys/${encodeURIComponent(kek.vault)}/${encodeURIComponent(kek.name)}`;

export const serverPath = (serverId: string): string => `/api/servers/${encodeURIComponent(serverId)}`;

export const parseVersionArgument = (text: string): string => asArgument(() => parseVersion(text));

function asArgument<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    // What the domain says of it is said to the point.
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** A parser of whole numbers for an option. */
export const whole =
  (min: number, max: number) =>
  (text: string): number => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= min && number <= max) return number;
    throw new InvalidArgumentError(`A whole number from ${min} to ${max} is needed.`);
  };

export const list = (text: string): readonly string[] =>
  text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');

/** `name=value`, given as often as one likes. */
export function label(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Give it as name=value.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** An instant, or how long ago: `30m`, `24h`, `7d`. */
export function time(text: string, now: Date): string {
  const [, many, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const ago = many === undefined ? undefined : Number(many) * (UNITS[unit ?? ''] ?? 0);
  const at = ago === undefined ? new Date(text) : new Date(now.getTime() - ago);
  if (Number.isNaN(at.getTime())) {
    throw cliError(
      'UsageWrong',
      `not a time: ${JSON.stringify(text.slice(0, 100))}`,
      'Give an instant (2026-11-24T12:00:00Z), or how long ago: 30m, 24h, 7d.',
    );
  }
  return at.toISOString();
}
