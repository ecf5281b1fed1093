// pg-cmk servers: list and show; registering is in register.ts, orders to one server in server-orders.ts.
import { type Command, Option } from 'commander';
import { Server, ServerPage, ServerState } from '../../shared/api/servers.ts';
import { parseAnswer, readAll } from '../answers.ts';
import { parseKey, parseVersionArgument, serverPath, toKeyUrl, whole } from '../arguments.ts';
import type { CliContext } from '../context.ts';
import { count, note, print } from '../print.ts';
import { registerCopy } from './copy.ts';
import { registerRegister } from './register.ts';
import { registerServerOrders } from './server-orders.ts';
import { showServer, showServers } from './server-view.ts';

interface ListOptions {
  readonly key?: ReturnType<typeof parseKey>;
  readonly state?: string;
  readonly version?: string;
  readonly limit?: number;
}

export function registerServers(program: Command, context: CliContext): void {
  const servers = program
    .command('servers')
    .description('servers and their state')
    .addHelpText('after', '\nAlone it is `pg-cmk servers list`, with the options of that.');

  servers
    .command('list', { isDefault: true })
    .description('all servers, or those that are asked for')
    .option('--key <key>', 'under this key', parseKey)
    .addOption(new Option('--state <state>', 'in this state').choices(ServerState.options))
    .option('--version <version>', 'wrapped under this key version', parseVersionArgument)
    .option('--limit <n>', 'so many at most', whole(1, 1_000_000))
    .action((options: ListOptions) => listServers(context, options));

  servers
    .command('show <server>')
    .description('all that is known of a server')
    .action((serverId: string) => show(context, serverId));

  registerRegister(servers, context);
  registerCopy(servers, context);
  registerServerOrders(servers, context);
}

async function listServers(context: CliContext, options: ListOptions): Promise<void> {
  const { key, state, version, limit = null } = options;
  const query = { key: key && toKeyUrl(key), state, version };
  const held: ServerPage['held'][number][] = [];
  const read = await readAll(
    context.api(),
    { path: '/api/servers', query, schema: ServerPage },
    limit,
    (page) => {
      held.push(...page.held);
      return page.servers;
    },
  );
  print(context, { servers: read.items, held, more: read.more }, (view) => {
    showServers(view, read.items);
    for (const { serverId, problem } of held) {
      view.line(view.paint('bad', `held, for its row does not parse: ${serverId}: ${problem}`));
    }
  });
  if (context.options().output === 'json') return;
  note(context, `${count(read.items.length, 'server')}${read.more ? '; there are more' : ''}`);
}

async function show(context: CliContext, serverId: string): Promise<void> {
  const answer = await context.api().request('GET', serverPath(serverId));
  const server = parseAnswer(Server, answer);
  print(context, server, (view) => showServer(view, server, answer.etag));
}
