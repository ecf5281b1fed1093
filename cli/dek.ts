// `pg-cmk dek`: the server's side. Gets the DEK, hands it on, and with --watch holds the lease on it.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ServerId } from '../shared/api/common.ts';
import { CliError, cliError } from './cli-error.ts';
import type { CliContext } from './context.ts';
import { askDek, type Lease } from './dek/ask-dek.ts';
import { type DekFormat, encodeDek, FORMATS } from './dek/encode-dek.ts';
import { type DekHost, systemDekHost } from './dek/host.ts';
import { removeFile, writeOwnFile } from './dek/key-file.ts';
import { type WatchEnd, watchLease } from './dek/watch-lease.ts';
import { EXIT } from './exit-codes.ts';
import type { OutputStream } from './io.ts';
import { plain } from './paint.ts';

interface DekOptions {
  readonly server: string;
  readonly format: DekFormat;
  readonly out?: string;
  readonly wrappedOut?: string;
  readonly watch?: true;
  readonly onLost?: string;
}

const EXAMPLES = `
Examples:
  pg-cmk dek --server orders-1 --format raw | cryptsetup open --key-file=- /dev/sdb pgdata
  pg-cmk dek --server orders-1 --out /run/pg-cmk/dek --watch --on-lost 'systemctl stop postgresql'

docs/dek.md shows PostgreSQL with EDB TDE, LUKS and systemd, one example each.`;

export function registerDek(program: Command, context: CliContext, host: DekHost = systemDekHost): void {
  program
    .command('dek')
    .description("get a server's data encryption key, with the server's own identity")
    .requiredOption('--server <id>', 'the server', parseServer)
    .addOption(new Option('--format <format>', 'how the key is written').choices(FORMATS).default('hex'))
    .option('--out <file>', 'write the key to a file of mode 0600 instead of standard output')
    .option('--wrapped-out <file>', 'write the wrapped key there too, for the server to keep')
    .option('--watch', 'stay, and renew the lease; exit code 6 when it is lost')
    .option('--on-lost <command>', 'run this in a shell, once, when the lease is lost (with --watch)')
    .addHelpText('after', EXAMPLES)
    .action((options: DekOptions) => runDek(context, host, options));
}

function parseServer(text: string): string {
  const parsed = ServerId.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError('1 to 63 lower-case letters, digits and dashes.');
}

/** @throws CliError UsageWrong, FileUnusable, OutputLost, LeaseLost, and what {@link askDek} throws */
async function runDek(context: CliContext, host: DekHost, options: DekOptions): Promise<void> {
  const { io } = context;
  const { server, format, out, watch, onLost } = options;
  if (onLost !== undefined && watch !== true) {
    throw cliError('UsageWrong', '--on-lost needs --watch', 'Add --watch: without it nobody notices a loss.');
  }
  if (out === undefined && format === 'raw' && io.stdout.isTTY === true) {
    throw cliError('UsageWrong', 'a raw key is not written to a terminal', 'Pipe it, or use --out or hex.');
  }
  const api = context.api();
  const ask = (signal?: AbortSignal) => askDek(api, host, server, signal);
  const say = (line: string) => void io.stderr.write(`pg-cmk dek: ${server}: ${plain(line)}\n`);

  const stop = new AbortController();
  // From the start, so that a stop in between leaves no key behind.
  const unlisten = watch === true ? host.onStop(() => stop.abort()) : () => undefined;
  try {
    const lease = await handOn(await ask(), io.stdout, options);
    if (watch !== true) return;
    if (out === undefined) host.closeOutput();
    say(`held until ${lease.expiresOn}`);
    const onRenewed = async (renewed: Lease) => {
      // The lease is held whether or not its wrapping can be kept.
      await keepWrapped(renewed, options).catch((error: CliError) => say(error.message));
      say(`renewed, held until ${renewed.expiresOn}`);
    };
    const end = await watchLease({ ask, host, say, onRenewed, stop: stop.signal }, lease);
    await finish(end, host, options, say);
  } finally {
    unlisten();
  }
}

/** Writes the key where it is wanted, and forgets it. */
async function handOn(
  held: Awaited<ReturnType<typeof askDek>>,
  stdout: OutputStream,
  options: DekOptions,
): Promise<Lease> {
  using dek = held.dek;
  await keepWrapped(held.lease, options);
  const bytes = encodeDek(dek, options.format);
  try {
    if (options.out === undefined) await writeTo(stdout, bytes);
    else await writeOwnFile(options.out, bytes);
  } finally {
    bytes.fill(0);
  }
  return held.lease;
}

/** The wrapping is no secret. It is the server's own copy of what opens its data, as long as the key is there. */
async function keepWrapped({ keyId, wrappedDek }: Lease, { server, wrappedOut }: DekOptions): Promise<void> {
  if (wrappedOut === undefined) return;
  const text = `${JSON.stringify({ serverId: server, keyId, wrappedDek }, null, 2)}\n`;
  await writeOwnFile(wrappedOut, new TextEncoder().encode(text));
}

function writeTo(stream: OutputStream, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) =>
      reject(
        cliError('OutputLost', "the key can't be written to standard output", 'See who reads it.', error),
      );
    // A reader that is gone is told by an event as well, which would end the process.
    stream.once('error', fail);
    stream.write(bytes, (error) => {
      if (error != null) return fail(error);
      stream.off('error', fail);
      resolve();
    });
  });
}

/** @throws CliError LeaseLost */
async function finish(
  end: WatchEnd,
  host: DekHost,
  { server, out, onLost }: DekOptions,
  say: (line: string) => void,
): Promise<void> {
  // First the key, then whoever uses it; that the key can't be removed must not save them.
  const removal = out === undefined ? undefined : await removeFile(out).catch((error: CliError) => error);
  if (end.kind === 'stopped') {
    if (removal !== undefined) throw removal;
    return say('stopped; the lease runs out by itself');
  }
  const { code, message, remedy } = end;
  say(`the lease is lost: ${message} (${code})`);
  if (removal !== undefined) say(`${removal.message}. ${removal.remedy}`);
  if (onLost !== undefined) {
    const status = await host.runShell(onLost, { PG_CMK_SERVER: server, PG_CMK_LOST_CODE: code });
    say(
      status === 0
        ? 'the command for a lost lease has run'
        : `the command for a lost lease ended with ${status}`,
    );
  }
  throw new CliError('LeaseLost', `${server} may not use its DEK any more: ${message}`, {
    remedy,
    exitCode: EXIT.leaseLost,
  });
}
