// pg-cmk drill: one server, revoked and restored for real, and measured.
import type { Command } from 'commander';
import { Drill, Server } from '../../shared/api/servers.ts';
import { parseAnswer } from '../answers.ts';
import { serverPath } from '../arguments.ts';
import { confirm } from '../confirm.ts';
import type { CliContext } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { print } from '../print.ts';

export function registerDrill(program: Command, context: CliContext): void {
  program
    .command('drill <server>')
    .description("take the server's access away and give it back for real, and measure both")
    .option('--dry-run', 'say what would happen, and change nothing')
    .action((serverId: string, options: { readonly dryRun?: boolean }) => drill(context, serverId, options));
}

async function drill(
  context: CliContext,
  serverId: string,
  { dryRun }: { readonly dryRun?: boolean },
): Promise<void> {
  const api = context.api();
  if (dryRun === true || context.options().yes !== true) {
    const server = parseAnswer(Server, await api.request('GET', serverPath(serverId)));
    const { state } = server;
    // How many there are now, nobody has counted: what the server's row says is from when it was last opened.
    const would =
      state === 'Ready'
        ? `${serverId} is closed and opened again for real, and its sessions end`
        : `${serverId} is ${state}: the app refuses a drill`;
    if (dryRun === true) {
      print(context, { dryRun: true, would, server }, ({ line }) => {
        line(`Would happen: ${would}.`);
        line('Nothing was changed.');
      });
      return;
    }
    await confirm(context, `${would}.`, serverId);
  }
  const done = parseAnswer(Drill, await api.request('POST', `${serverPath(serverId)}/drill`));
  const missing = done.closed.filter((name) => !done.reopened.includes(name));
  if (missing.length > 0) context.findings.exitCode = EXIT.checkFailed;
  print(context, done, ({ facts, line, paint }) => {
    facts([
      ['server', done.serverId],
      ['revoked after', toSeconds(done.revokedAfterMilliseconds)],
      ['restored after', toSeconds(done.restoredAfterMilliseconds)],
      ['sessions ended', done.sessionsEnded],
      ['closed', done.closed.join(', ')],
      ['reopened', done.reopened.join(', ')],
    ]);
    if (missing.length > 0) line(paint('bad', `Not reopened: ${missing.join(', ')}`));
  });
}

const toSeconds = (milliseconds: number): string =>
  milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
