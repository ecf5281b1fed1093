// What takes access away, or can't be undone, is done on a person's word only.
import { createInterface } from 'node:readline/promises';
import { cliError } from './cli-error.ts';
import type { CliContext } from './context.ts';
import { makePaint } from './paint.ts';

/**
 * Asks on the terminal for `name` to be typed; `--yes` answers before.
 * @param what what is about to happen, one sentence
 * @throws CliError NotConfirmed
 */
export async function confirm({ io, options }: CliContext, what: string, name: string): Promise<void> {
  if (options().yes === true) return;
  if (io.stdin.isTTY !== true || io.stderr.isTTY !== true) {
    throw cliError(
      'NotConfirmed',
      `nothing was done, for nobody is here to confirm it: ${what}`,
      'Give --yes; --dry-run shows what would happen.',
    );
  }
  const paint = makePaint(io.stderr, io.env);
  io.stderr.write(`${paint('warn', what)}\n`);
  const lines = createInterface({ input: io.stdin, output: io.stderr });
  // Without a line, at the end of the input, nobody has confirmed anything.
  const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
  const typed = await Promise.race([lines.question(`Type ${name} to go on: `), ended]);
  lines.close();
  if (typed.trim() === name) return;
  throw cliError('NotConfirmed', 'nothing was done', `Type ${name}, or give --yes.`);
}
