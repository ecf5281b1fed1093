// What is ordered for one server: hold and its end, a look, a move, a delete.
import type { Command } from 'commander';
import { DeletedServer, Server } from '../../shared/api/servers.ts';
import { parseAnswer } from '../answers.ts';
import { parseKey, serverPath, toKeyUrl } from '../arguments.ts';
import { confirm } from '../confirm.ts';
import type { CliContext } from '../context.ts';
import { paintState } from '../paint.ts';
import { count, print } from '../print.ts';
import { countedSessions } from './server-view.ts';

interface OrderOptions {
  readonly ifMatch?: string;
  readonly dryRun?: boolean;
}

const withOrderOptions = (command: Command): Command =>
  command
    .option('--if-match <etag>', 'only if the server is still as it was shown')
    .option('--dry-run', 'say what would happen, and change nothing');

export function registerServerOrders(servers: Command, context: CliContext): void {
  withOrderOptions(
    servers
      .command('revoke <server>')
      .description('hold it: its access ends, whatever the key says, until `restore`')
      .requiredOption('--reason <text>', 'shown to everybody who asks why'),
  ).action((serverId: string, options: OrderOptions & { readonly reason: string }) =>
    order(context, serverId, options, {
      will: (server) =>
        `${serverId} loses its access (${describe(server)}), and gets no DEK, until it is restored`,
      takesAway: true,
      path: 'revoke',
      body: { reason: options.reason },
    }),
  );

  withOrderOptions(
    servers.command('restore <server>').description('lift the hold: the key alone decides again'),
  ).action((serverId: string, options: OrderOptions) =>
    order(context, serverId, options, {
      will: ({ hold }) =>
        hold === null ? `${serverId} has no hold` : `the hold of ${serverId} is lifted (${hold.reason})`,
      takesAway: false,
      path: 'restore',
    }),
  );

  servers
    .command('revalidate <server>')
    .description('ask the vault now, and act on what it says')
    .action((serverId: string) =>
      order(context, serverId, {}, { will: () => '', takesAway: false, path: 'revalidate' }),
    );

  withOrderOptions(
    servers
      .command('move <server>')
      .description('put it under another key (role Dek.Assign)')
      .requiredOption('--key <key>', 'the new key', parseKey),
  ).action((serverId: string, options: OrderOptions & { readonly key: ReturnType<typeof parseKey> }) => {
    const keyId = toKeyUrl(options.key);
    return order(context, serverId, options, {
      will: (server) => `${serverId} moves from ${server.keyId} to ${keyId}`,
      takesAway: false,
      path: 'key',
      body: { keyId },
    });
  });

  withOrderOptions(
    servers
      .command('delete <server>')
      .description('forget it; its wrapping is kept, and still rewrapped, unless --purge')
      .option('--force', 'though it is not Ready')
      .option('--purge', 'give its DEK up for good (role Dek.Assign)'),
  ).action((serverId: string, options: DeleteOptions) => remove(context, serverId, options));
}

interface Order {
  /** What is about to happen, as one sentence without its full stop. */
  readonly will: (server: Server) => string;
  /** Asks for a confirmation. */
  readonly takesAway: boolean;
  readonly path: 'revoke' | 'restore' | 'revalidate' | 'key';
  readonly body?: unknown;
}

async function order(
  context: CliContext,
  serverId: string,
  { ifMatch, dryRun }: OrderOptions,
  { will, takesAway, path, body }: Order,
): Promise<void> {
  const api = context.api();
  const mustAsk = takesAway && context.options().yes !== true;
  if (dryRun === true || mustAsk) {
    const server = parseAnswer(Server, await api.request('GET', serverPath(serverId)));
    if (dryRun === true) {
      printDryRun(context, will(server), server);
      return;
    }
    await confirm(context, `${will(server)}.`, serverId);
  }
  const answer = await api.request(path === 'key' ? 'PUT' : 'POST', `${serverPath(serverId)}/${path}`, {
    body,
    ifMatch,
    // Each of these, done again, changes nothing more.
    repeatable: true,
  });
  const after = parseAnswer(Server, answer);
  print(context, after, ({ line, paint }) => {
    // The order is on its way: that is what the state says.
    const isUnderWay = after.reason === null || after.reason === 'AccessNotApplied';
    line(`${serverId}: ${paintState(paint, after.state)}${isUnderWay ? '' : ` (${after.reason})`}`);
    if (path === 'key') line(after.movingTo === null ? `key  ${after.keyId}` : `moving to ${after.movingTo}`);
    if (after.remedy !== null && !isUnderWay) line(after.remedy);
  });
}

interface DeleteOptions extends OrderOptions {
  readonly force?: boolean;
  readonly purge?: boolean;
}

async function remove(context: CliContext, serverId: string, options: DeleteOptions): Promise<void> {
  const { ifMatch, dryRun, force, purge } = options;
  const api = context.api();
  if (dryRun === true || context.options().yes !== true) {
    const server = parseAnswer(Server, await api.request('GET', serverPath(serverId)));
    const will = toDeletion(server, options);
    if (dryRun === true) {
      printDryRun(context, will, server);
      return;
    }
    await confirm(context, `${will}.`, serverId);
  }
  const query = { force: force === true ? 'true' : undefined, purge: purge === true ? 'dek' : undefined };
  const answer = await api.request('DELETE', serverPath(serverId), { query, ifMatch });
  const deleted = parseAnswer(DeletedServer, answer);
  print(context, deleted, ({ line }) => {
    const { outcome, keyId, staysClosed } = deleted;
    line(
      outcome === 'purged'
        ? `${serverId} is gone, and its DEK with it`
        : `${serverId} is deleted; its DEK stays wrapped under ${keyId}`,
    );
    if (staysClosed === null) line('whether databases stay closed could not be asked');
    else if (staysClosed.length > 0) line(`databases that stay closed: ${staysClosed.join(', ')}`);
  });
}

function toDeletion(server: Server, { force, purge }: DeleteOptions): string {
  const { serverId, state } = server;
  if (!server.tombstone && state !== 'Ready' && force !== true) {
    return `${serverId} is ${state}: the app refuses to delete it without --force`;
  }
  if (purge !== true) return `${serverId} is deleted (${describe(server)}); its wrapped DEK is kept`;
  return `${serverId} is deleted and its DEK ${server.dekId} given up for good: what it encrypts can never be read again`;
}

function describe(server: Server): string {
  const sessions = countedSessions(server);
  const seen = sessions === null ? [] : [`${count(sessions, 'session')} open when last seen`];
  return [server.state, ...seen, `policy ${server.keyLossPolicy}`].join(', ');
}

const printDryRun = (context: CliContext, will: string, server: Server): void =>
  print(context, { dryRun: true, would: will, server }, ({ line }) => {
    line(`Would happen: ${will}.`);
    line('Nothing was changed.');
  });
