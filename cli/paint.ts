// Colour, where the stream has it; what comes from outside never gets to write control characters to a terminal.
import { styleText } from 'node:util';
import type { CliIo, OutputStream } from './io.ts';

export type Tone = 'good' | 'warn' | 'bad' | 'faint' | 'strong' | 'plain';
export type Paint = (tone: Tone, text: string) => string;

const STYLES = { good: 'green', warn: 'yellow', bad: 'red', faint: 'dim', strong: 'bold' } as const;

export function makePaint(stream: OutputStream, env: CliIo['env']): Paint {
  const isColoured = hasColour(stream, env);
  return (tone, text) =>
    isColoured && tone !== 'plain' && text !== ''
      ? styleText(STYLES[tone], text, { validateStream: false })
      : text;
}

/** As Node does it: FORCE_COLOR before NO_COLOR (no-color.org) before what the terminal is. */
function hasColour(stream: OutputStream, env: CliIo['env']): boolean {
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined) return !['0', 'false'].includes(forced);
  const isRefused = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  return stream.isTTY === true && !isRefused;
}

/** Without control characters, escape sequences of terminals among them; line breaks become spaces. */
export const plain = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out.
  text.replaceAll(/[\r\n\t]+/g, ' ').replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '');

const TONES: Readonly<Record<string, Tone>> = {
  Ready: 'good',
  usable: 'good',
  serve: 'good',
  completed: 'good',
  ok: 'good',
  passed: 'good',
  PendingKey: 'warn',
  Suspect: 'warn',
  Restoring: 'warn',
  unknown: 'warn',
  unproven: 'warn',
  running: 'warn',
  degraded: 'warn',
  warning: 'warn',
  Revoking: 'bad',
  Inaccessible: 'bad',
  unusable: 'bad',
  revoke: 'bad',
  halted: 'bad',
  blocked: 'bad',
  failing: 'bad',
  failed: 'bad',
  error: 'bad',
  skipped: 'faint',
  unseen: 'faint',
  info: 'faint',
};

/** A state or a status in its colour, whichever thing's it is. */
export const paintState = (paint: Paint, state: string): string =>
  paint(TONES[state] ?? 'plain', plain(state));
