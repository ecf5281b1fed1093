// The options that say how the app reaches a server.
import { type Command, Option } from 'commander';
import type { Server } from '../../shared/api/servers.ts';
import { list, whole } from '../arguments.ts';
import { cliError } from '../cli-error.ts';

export interface AccessOptions {
  readonly host?: string;
  readonly port?: number;
  readonly maintenanceDatabase?: string;
  readonly exclude?: readonly string[];
  readonly user?: string;
  readonly tls?: string;
  readonly auth?: string;
  readonly dekOnly?: boolean;
}

export const withAccessOptions = (command: Command): Command =>
  command
    .option('--host <host>', 'host of the PostgreSQL server')
    .option('--port <port>', 'its port', whole(1, 65_535))
    .option('--user <user>', "the app's user there")
    .option('--auth <auth>', 'entra, or setting:NAME for the app setting that holds the password')
    .option('--maintenance-database <name>', "where the app's record is kept")
    .option('--exclude <databases>', 'databases that stay open whatever happens, separated by commas', list)
    .addOption(
      new Option('--tls <mode>', 'how the server shows who it is').choices([
        'verify-full',
        'verify-ca',
        'require',
        'disable',
      ]),
    )
    .option('--dek-only', 'the app cares for the DEK only, and never reaches the server');

/** What the options say of the access, on top of what is there; undefined: nothing. @throws CliError UsageWrong */
export function toAccess(options: AccessOptions, before: Server['access'] | undefined): unknown {
  const { host, port, maintenanceDatabase, exclude, user, tls, auth, dekOnly } = options;
  const given = Object.fromEntries(
    Object.entries({ host, port, maintenanceDatabase, excludeDatabases: exclude, user, tls }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  const isGiven = Object.keys(given).length > 0 || auth !== undefined;
  if (dekOnly === true) {
    if (!isGiven) return { kind: 'none' };
    throw cliError('UsageWrong', '--dek-only goes with no way to the server', 'Leave out one or the other.');
  }
  if (!isGiven) return before;
  const kept = before?.kind === 'postgres' ? before : undefined;
  if (kept === undefined && (host === undefined || user === undefined || auth === undefined)) {
    throw cliError('UsageWrong', 'the way to the server is half said', 'Give --host, --user and --auth.');
  }
  return { kind: 'postgres', ...kept, ...given, ...(auth === undefined ? {} : { auth: parseAuth(auth) }) };
}

function parseAuth(text: string): unknown {
  if (text === 'entra') return { kind: 'entra' };
  const [, name] = /^setting:(.+)$/.exec(text) ?? [];
  if (name !== undefined) return { kind: 'setting', name };
  throw cliError(
    'UsageWrong',
    `not a way to log in: ${JSON.stringify(text)}`,
    'Give --auth entra, or --auth setting:PGCMK_SECRET_… (the name of the setting, never a password).',
  );
}
