// Runs a command line within the test, with an outside that the test can see into.
import { PassThrough } from 'node:stream';
import type { CliIo } from '../../cli/io.ts';
import { runCli } from '../../cli/run-cli.ts';

export const NOW = new Date('2026-11-24T12:00:00.000Z');

export interface RunOptions {
  readonly url?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What a person types; with it the run has a terminal. */
  readonly typed?: string;
  readonly isTTY?: boolean;
  /** What comes by standard input, with no terminal. */
  readonly stdin?: string;
  readonly io?: Partial<CliIo>;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Milliseconds of each wait; none of them took place. */
  readonly waits: readonly number[];
  readonly json: () => unknown;
}

function makeStream(isTTY: boolean) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 120 });
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return { stream, text: () => text };
}

export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { url, env = {}, typed, isTTY = typed !== undefined, stdin } = options;
  const input = Object.assign(new PassThrough(), { isTTY });
  if (typed !== undefined) input.write(`${typed}\n`);
  if (stdin !== undefined) input.end(stdin);
  const stdout = makeStream(isTTY);
  const stderr = makeStream(isTTY);
  const waits: number[] = [];
  let now = NOW.getTime();
  const io: CliIo = {
    stdin: input,
    stdout: stdout.stream,
    stderr: stderr.stream,
    env: { ...(url === undefined ? {} : { PG_CMK_URL: url }), PG_CMK_TOKEN: 'the-secret-token', ...env },
    fetch: globalThis.fetch,
    now: () => new Date(now),
    sleep: async (milliseconds) => {
      waits.push(milliseconds);
      now += milliseconds;
    },
    loadCredential: () => Promise.reject(new Error('no identity here')),
    ...options.io,
  };
  const code = await runCli(argv, io, '9.9.9');
  // What was written last is read in the next turn.
  await new Promise((resolve) => setImmediate(resolve));
  return {
    code,
    stdout: stdout.text(),
    stderr: stderr.text(),
    waits,
    json: () => JSON.parse(stdout.text()),
  };
}
