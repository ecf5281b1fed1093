// pg-cmk impact: who would lose access.
import { type Command, Option } from 'commander';
import { Impact } from '../../shared/api/keys.ts';
import { readPages } from '../answers.ts';
import { keyPath, parseKey, parseVersionArgument, whole } from '../arguments.ts';
import type { CliContext } from '../context.ts';
import { paintState } from '../paint.ts';
import { count, instant, print, type View } from '../print.ts';

interface ImpactOptions {
  readonly of: string;
  readonly version?: string;
  readonly limit?: number;
}

export function registerImpact(program: Command, context: CliContext): void {
  program
    .command('impact')
    .description('which servers would lose access, when, and how many sessions are open there now')
    .argument('<key>', 'its URL, or vault-host/name; with a version: that one', parseKey)
    .addOption(
      new Option('--of <what>', 'what is done to it')
        .choices(['disable', 'delete', 'expire'])
        .default('disable'),
    )
    .option('--version <version>', 'one version', parseVersionArgument)
    .option('--limit <n>', 'so many servers at most', whole(1, 1_000_000))
    .action((key: ReturnType<typeof parseKey>, options: ImpactOptions) => printImpact(context, key, options));
}

/** Each page asks the servers on it, so they are small. */
const PAGE = 100;

/** The pages as one: sessions are summed, the counts are of the whole key on each of them. */
async function readImpact(
  context: CliContext,
  key: ReturnType<typeof parseKey>,
  { of, version = key.version ?? undefined, limit = Number.POSITIVE_INFINITY }: ImpactOptions,
): Promise<Impact> {
  const pages = readPages(context.api(), {
    path: `${keyPath(key)}/impact`,
    query: { of, version },
    schema: Impact,
    pageSize: Math.min(PAGE, limit),
  });
  let whole: Impact | undefined;
  for await (const page of pages) {
    whole = {
      ...page,
      sessionsOpen: (whole?.sessionsOpen ?? 0) + page.sessionsOpen,
      page: [...(whole?.page ?? []), ...page.page],
    };
    if (whole.page.length >= limit) break;
  }
  if (whole === undefined) throw new Error('a listing has a page');
  return whole;
}

export async function printImpact(
  context: CliContext,
  key: ReturnType<typeof parseKey>,
  options: ImpactOptions,
): Promise<void> {
  const impact = await readImpact(context, key, options);
  print(context, impact, (view) => showImpact(view, impact));
}

function showImpact({ line, table, paint }: View, impact: Impact): void {
  const { wouldLoseAccess: loses, wouldKeepAccess: keeps, servers, firstLossAt, of } = impact;
  const when =
    firstLossAt === null ? `within ${impact.detectionSeconds} s of it` : `from ${instant(firstLossAt)} on`;
  line(
    loses === 0
      ? paint('good', `No server of ${impact.keyId} would lose access (${of}).`)
      : paint('bad', `${count(loses, 'server')} of ${servers} would lose access (${of}), ${when}.`),
  );
  line(
    `${count(keeps, 'server')} would keep it; ${count(impact.sessionsOpen, 'session')} open now on the servers shown.`,
  );
  if (impact.page.length === 0) return;
  line('');
  table(
    ['SERVER', 'STATE', 'LOSES ACCESS', 'AT', 'SESSIONS', 'POLICY', 'WHY'],
    impact.page.map((server) => [
      server.serverId,
      { painted: paintState(paint, server.state) },
      { painted: server.losesAccess ? paint('bad', 'yes') : 'no' },
      instant(server.at),
      server.sessionsOpen,
      server.keyLossPolicy,
      server.why,
    ]),
  );
  if (impact.cursor !== null) line('There are more servers: raise --limit.');
}
