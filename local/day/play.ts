// An operator's day: every task of docs/operating.md once, through the command line, on the local stack.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { keyUrl, parseKekId } from '../../shared/domain/key-id.ts';
import { until } from '../demo/world.ts';
import type { Postgres } from '../postgres.ts';
import { APP_USER, readOpenDatabases, runAsSuperuser } from '../stack/fleet-server.ts';
import { startLiveClient } from '../stack/live-client.ts';
import type { Stack } from '../stack/start-stack.ts';
import type { Person, Session } from './session.ts';

export interface Day {
  readonly stack: Stack;
  readonly session: Session;
  /** A server that a DBA has prepared, but for one thing. */
  readonly postgres: Postgres;
  readonly passwordSetting: string;
  /** Files that the day makes. */
  readonly directory: string;
}

const KEY = 'orders';
const SERVER = 'orders-1';
const IDENTITY = '5b4c2f6e-7d7c-4a39-9a55-0c6f6f1d9e01';

/** Each step's exit code is checked where it is run; what was done is checked against the servers and the vault. */
export async function playDay(day: Day): Promise<void> {
  const { stack, session, postgres } = day;
  const vault = stack.vaultEmulator.vault('contoso');
  const other = stack.vaultEmulator.vault('fabrikam');
  for (const one of [vault, other]) await one.createKey(KEY);
  const key = keyUrl(parseKekId(vault.host, KEY));
  const otherKey = keyUrl(parseKekId(other.host, KEY));

  const person = async (name: string, principalId: string, roles: readonly string[]): Promise<Person> => ({
    name,
    token: await stack.identity.issueFor({ principalId, roles }),
  });
  const operator = await person('operator', 'olga', ['Fleet.Read', 'Fleet.Operate']);
  const assigner = await person('who assigns DEKs', 'dora', ['Fleet.Read', 'Fleet.Operate', 'Dek.Assign']);
  const officer = await person('key officer', 'kim', ['Fleet.Read', 'Keys.Retire']);
  const server = await person('the server itself', IDENTITY, ['Dek.Unwrap']);
  const stranger = await person('another server', '9d0f4d55-0000-4000-8000-000000000000', ['Dek.Unwrap']);

  const stateOf = async (serverId: string): Promise<string> =>
    (await stack.operations.readServer(serverId)).view.state;
  const becomes = async (serverId: string, state: string): Promise<void> => {
    if (await until(async () => (await stateOf(serverId)) === state, 60)) return;
    throw new Error(`${serverId} is ${await stateOf(serverId)}, not ${state}, after 60 s`);
  };
  const reach = [
    ...['--host', postgres.host, '--port', String(postgres.port), '--user', APP_USER],
    ...['--auth', `setting:${day.passwordSetting}`],
  ];

  session.chapter(
    'Onboard a server',
    'The DBA has prepared it, all but one thing. Look first: everything that is wrong is said at once, and nothing is changed.',
  );
  await runAsSuperuser(postgres, 'cmk_admin', ['GRANT CONNECT ON DATABASE cmk_admin TO PUBLIC']);
  const register = ['servers', 'register', SERVER, '--key', key, ...reach];
  await session.pgcmk(operator, [...register, '--validate-only'], { code: 5 });
  await session.deed('the DBA: REVOKE CONNECT ON DATABASE cmk_admin FROM PUBLIC', () =>
    runAsSuperuser(postgres, 'cmk_admin', ['REVOKE CONNECT ON DATABASE cmk_admin FROM PUBLIC']),
  );
  await session.pgcmk(operator, register);
  await becomes(SERVER, 'Ready');
  session.say('Again, it is the same registration; a server has one DEK for good.');
  await session.pgcmk(operator, register);
  session.say('Who may have the DEK is not for an operator to say.');
  await session.pgcmk(operator, ['servers', 'register', SERVER, '--principal', IDENTITY], { code: 3 });
  await session.pgcmk(assigner, ['servers', 'register', SERVER, '--principal', IDENTITY]);
  for (const name of ['reports-1', 'reports-2', 'staging-1'])
    await session.pgcmk(operator, ['servers', 'register', name, '--key', key, '--dek-only']);
  for (const name of ['reports-1', 'reports-2', 'staging-1']) await becomes(name, 'Ready');
  await session.pgcmk(operator, ['servers', 'list']);

  session.chapter(
    'A server is given its DEK',
    'On the server, with its own identity. Another one is refused.',
  );
  const dek = ['dek', '--server', SERVER, '--format', 'hex'];
  const asLength = {
    pipe: ' | wc -c',
    shown: ({ stdout }: { readonly stdout: string }) => String(stdout.length),
  };
  const given = await session.pgcmk(server, dek, asLength);
  await session.pgcmk(stranger, dek, { code: 3 });

  session.chapter('Rotate', 'A new version appears in the vault. The plan first, then the run, in waves.');
  await session.pgcmk(operator, [
    ...['keys', 'policy', key, '--canary', 'staging-1', '--wave', '2', '--halt-after', '1', '--pause'],
  ]);
  await session.deed('in the vault: a new version of the key', () => vault.rotateKey(KEY));
  await until(async () => (await rotationOf(stack, vault.host)) === 'running', 30);
  await session.pgcmk(operator, ['rotate', key, '--dry-run']);
  await session.pgcmk(operator, ['keys', 'policy', key, '--resume']);
  // How far it was at each look differs from day to day.
  await session.pgcmk(operator, ['rotate', key, '--yes'], { shown: ({ stdout }) => stdout });
  await session.pgcmk(operator, ['keys', 'show', key, '--count']);
  session.say('The DEK is the same as before: only its wrapping is new.');
  const after = await session.pgcmk(server, dek, asLength);
  if (after.stdout !== given.stdout) throw new Error('the rotation changed the DEK');

  session.chapter(
    'Before the key is disabled',
    'Who would lose access, and how many sessions are open there now.',
  );
  const client = await startLiveClient(postgres, 'orders');
  try {
    await session.pgcmk(operator, ['impact', key, '--of', 'disable']);

    session.chapter('The key is disabled, and comes back', 'By whoever owns it, in the vault.');
    const openBefore = await readOpenDatabases(postgres);
    await session.deed('in the vault: the current version is disabled', async () =>
      vault.updateKey(KEY, 'current', { enabled: false }),
    );
    await becomes(SERVER, 'Inaccessible');
    if (client.isConnected()) throw new Error('a session is still open');
    await session.pgcmk(operator, ['servers', 'show', SERVER]);
    await session.pgcmk(server, dek, { code: 3 });
    await session.deed('in the vault: enabled again', async () =>
      vault.updateKey(KEY, 'current', { enabled: true }),
    );
    await becomes(SERVER, 'Ready');
    await session.pgcmk(operator, ['servers', 'list']);
    await sameDatabases(postgres, openBefore);

    session.chapter('Revoke in an emergency', 'A hold: whatever the key says, and no probe lifts it.');
    await session.pgcmk(operator, ['servers', 'revoke', SERVER, '--reason', 'incident 4711', '--yes']);
    await becomes(SERVER, 'Inaccessible');
    await session.pgcmk(operator, ['servers', 'list', '--state', 'Inaccessible']);
    await session.pgcmk(operator, ['servers', 'restore', SERVER]);
    await becomes(SERVER, 'Ready');
    await sameDatabases(postgres, openBefore);

    session.chapter('Drill', 'Revoked and restored for real, and measured. The key is not touched.');
    await session.pgcmk(operator, ['drill', SERVER, '--yes']);
    await becomes(SERVER, 'Ready');
    await sameDatabases(postgres, openBefore);
  } finally {
    await client.stop();
  }

  session.chapter('A replica, and a restored backup', 'Each is a server of its own with the same DEK.');
  await session.pgcmk(assigner, [
    ...['servers', 'copy', 'reports-1', 'reports-1-replica', '--kind', 'replica', '--dek-only'],
  ]);
  await session.pgcmk(assigner, [
    ...['servers', 'copy', 'reports-1', 'reports-1-restored', '--kind', 'restore', '--dek-only'],
  ]);

  session.chapter('Move to another key', 'In another vault. The server notices nothing.');
  await session.pgcmk(assigner, ['servers', 'move', SERVER, '--key', otherKey, '--yes']);
  await becomes(SERVER, 'Ready');
  const moved = await session.pgcmk(server, dek, asLength);
  if (moved.stdout !== given.stdout) throw new Error('the move changed the DEK');

  session.chapter('Retire a version', 'Refused while anything depends on it.');
  const [first = ''] =
    vault
      .keys()
      .find((one) => one.name === KEY)
      ?.versions.map(({ version }) => version) ?? [];
  await until(async () => (await unproven(stack, vault.host)) === 0, 60);
  await session.pgcmk(operator, [
    'servers',
    'register',
    'pinned-1',
    '--key',
    `${key}/${first}`,
    '--dek-only',
  ]);
  await session.pgcmk(officer, ['retire', key, first, '--yes'], { code: 3 });
  await session.pgcmk(assigner, ['servers', 'delete', 'pinned-1', '--purge', '--force', '--yes']);
  await session.pgcmk(officer, ['retire', key, first, '--out', 'statement.jws', '--yes']);
  await session.pgcmk(officer, ['keys', 'signing-keys', '--out', 'signing-keys.json']);
  await session.pgcmk(officer, ['verify', 'statement.jws', '--keys', 'signing-keys.json']);

  session.chapter('Audit', 'The chain is checked offline, and a record that was changed is named.');
  // The outbox is delivered every two seconds here.
  await sleep(4000);
  await session.pgcmk(operator, ['audit', 'export', '--key', key, '--out', 'audit.jsonl']);
  await session.pgcmk(operator, ['verify', 'audit.jsonl']);
  const file = join(day.directory, 'audit.jsonl');
  await session.deed('somebody changes a name in the file', async () => {
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('olga', 'olaf'));
  });
  await session.pgcmk(operator, ['verify', 'audit.jsonl'], { code: 5 });

  session.chapter('Look from outside', 'What is off, and what to do about it.');
  await session.pgcmk(operator, ['doctor'], { code: 5 });
}

async function rotationOf(stack: Stack, host: string): Promise<string | undefined> {
  return (await stack.stores.keks.read(parseKekId(host, KEY)))?.kek.value.rotation.state;
}

async function unproven(stack: Stack, host: string): Promise<number> {
  const progress = await stack.operations.readProgress(parseKekId(host, KEY));
  return Object.values(progress?.versions ?? {}).reduce((sum, one) => sum + one.unproven, 0);
}

async function sameDatabases(postgres: Postgres, before: readonly string[]): Promise<void> {
  const now = await readOpenDatabases(postgres);
  if (now.join() !== before.join()) throw new Error(`open are ${now.join()}, not ${before.join()}`);
}
