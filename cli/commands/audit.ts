// pg-cmk audit: read it, or take it away as JSON Lines, to be checked by pg-cmk verify.
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import * as z from 'zod';
import { type AuditEntry, AuditPage } from '../../shared/api/audit.ts';
import { type Listing, readAll, readPages } from '../answers.ts';
import { parseKey, time, toKeyUrl, whole } from '../arguments.ts';
import { CliError, cliError } from '../cli-error.ts';
import type { CliContext } from '../context.ts';
import { count, instant, note, print } from '../print.ts';

interface Filter {
  readonly key?: ReturnType<typeof parseKey>;
  readonly server?: string;
  readonly from?: string;
  readonly to?: string;
}

const withFilter = (command: Command): Command =>
  command
    .option('--key <key>', 'the chain of one key', parseKey)
    .option('--server <server>', 'about one server')
    .option('--from <time>', 'since then: an instant, or how long ago (24h, 7d)')
    .option('--to <time>', 'before then');

export function registerAudit(program: Command, context: CliContext): void {
  const audit = program
    .command('audit')
    .description('what was decided and done, and why')
    .addHelpText('after', '\nAlone it is `pg-cmk audit list`, with the options of that.');

  withFilter(audit.command('list', { isDefault: true }).description('the records, chain after chain'))
    .option('--limit <n>', 'so many at most', whole(1, 1_000_000))
    .action((options: Filter & { readonly limit?: number }) => listRecords(context, options));

  withFilter(
    audit.command('export').description('all records as JSON Lines, for pg-cmk verify and for keeping'),
  )
    .option('--out <file>', 'write them there, instead of standard output')
    .action((options: Filter & { readonly out?: string }) => exportRecords(context, options));
}

const toListing = ({ io }: CliContext, { key, server, from, to }: Filter): Listing<AuditPage> => ({
  path: '/api/audit',
  query: {
    key: key && toKeyUrl({ ...key, version: null }),
    server,
    from: from && time(from, io.now()),
    to: to && time(to, io.now()),
  },
  schema: AuditPage,
});

/** What of a record is shown; a record that is more, or other, is shown as far as it goes. */
const Body = z.object({
  at: z.string().catch('–'),
  action: z.string().catch('–'),
  cause: z.looseObject({ kind: z.string() }).catch({ kind: '–' }),
  servers: z.array(z.string()).catch([]),
  reason: z.string().nullable().catch(null),
});

async function listRecords(
  context: CliContext,
  { limit, ...filter }: Filter & { readonly limit?: number },
): Promise<void> {
  const { items, more } = await readAll(
    context.api(),
    toListing(context, filter),
    limit ?? null,
    (page) => page.records,
  );
  print(context, { records: items, more }, ({ table }) => {
    table(['TIME', 'CHAIN', '#', 'ACTION', 'BY', 'SERVERS', 'REASON'], items.map(toRow));
  });
  if (context.options().output === 'json') return;
  note(context, `${count(items.length, 'record')}${more ? '; there are more' : ''}`);
}

function toRow({ chain, sequence, body }: AuditEntry) {
  const { at, action, cause, servers, reason } = Body.parse(parseBody(body));
  const by = cause['by'] ?? cause['type'] ?? cause['operation'] ?? '';
  const named = servers.slice(0, 3).join(', ');
  return [
    instant(at),
    chain.replace('|', '/'),
    sequence,
    action,
    `${cause.kind} ${typeof by === 'string' ? by : ''}`.trim(),
    servers.length > 3 ? `${named} and ${servers.length - 3} more` : named,
    reason ?? '',
  ];
}

function parseBody(body: string): unknown {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' ? (parsed ?? {}) : {};
  } catch {
    return {};
  }
}

async function exportRecords(
  context: CliContext,
  { out, ...filter }: Filter & { readonly out?: string },
): Promise<void> {
  let written = 0;
  const lines = async function* () {
    for await (const { records } of readPages(context.api(), toListing(context, filter))) {
      written += records.length;
      if (context.io.stderr.isTTY === true) note(context, count(written, 'record'));
      if (records.length > 0) yield `${records.map((record) => JSON.stringify(record)).join('\n')}\n`;
    }
  };
  if (out === undefined) {
    for await (const text of lines()) await write(context, text);
  } else {
    await writeWhole(out, Readable.from(lines()));
  }
  note(context, `${count(written, 'record')} exported${out === undefined ? '' : ` to ${out}`}`);
}

/** As fast as they are read, so that memory doesn't grow with the audit. */
const write = ({ io }: CliContext, text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    io.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });

/** Half an export never passes for a whole one. */
async function writeWhole(file: string, lines: Readable): Promise<void> {
  const part = `${file}.part`;
  try {
    await pipeline(lines, createWriteStream(part));
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    if (error instanceof CliError) throw error;
    throw cliError('FileUnusable', `${file} can't be written`, 'Check the folder and the rights.', error);
  }
}
