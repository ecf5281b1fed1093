// Data directories: a template made once a process by initdb, copies of it, and copies of a running primary.
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Binaries, RunAs } from './binaries.ts';
import { run } from './binaries.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';

export const superuser = 'postgres';

export interface Template {
  readonly data: string;
  readonly password: string;
}

let template: Promise<Template> | undefined;

export function getTemplate(binaries: Binaries, user: RunAs): Promise<Template> {
  template ??= makeTemplate(binaries, user);
  return template;
}

async function makeTemplate(binaries: Binaries, user: RunAs): Promise<Template> {
  const directory = await makeTemporaryDirectory('template', user);
  const data = join(directory.path, 'data');
  const password = randomBytes(12).toString('hex');
  const passwordFile = join(directory.path, 'password');
  await writeOwned(passwordFile, password, user);
  const flags = ['--no-sync', '--no-instructions', '--encoding=UTF8', '--locale=C', '--wal-segsize=4'];
  const auth = ['--auth=scram-sha-256', `--username=${superuser}`, `--pwfile=${passwordFile}`];
  await run(binaries.initdb, ['-D', data, ...flags, ...auth], { ...user, cwd: directory.path });
  return { data, password };
}

export async function copyTemplate({ data }: Template, target: string, user: RunAs): Promise<void> {
  await run('cp', ['-R', '-p', data, target], { ...user, cwd: '/' });
}

/**
 * Copies the files of a running server between pg_backup_start and pg_backup_stop: what pg_basebackup does, which the
 * package doesn't bring. Files may vanish meanwhile; replaying the log makes up for that.
 */
export async function copyRunning(source: string, target: string, user: RunAs): Promise<void> {
  try {
    await run('cp', ['-R', '-p', source, target], { ...user, cwd: '/' });
  } catch (thrown) {
    const { stderr } = z.object({ stderr: z.string() }).parse(thrown);
    const others = stderr
      .split('\n')
      .filter((line) => line !== '' && !line.includes('No such file or directory'));
    if (others.length > 0) throw new Error(`copying ${source}: ${others.join('\n')}`, { cause: thrown });
  }
  for (const file of ['postmaster.pid', 'postmaster.opts']) await rm(join(target, file), { force: true });
  for (const folder of ['pg_wal', 'pg_replslot', 'pg_dynshmem', 'pg_notify', 'pg_stat_tmp']) {
    for (const entry of await readdir(join(target, folder)))
      await rm(join(target, folder, entry), { recursive: true });
  }
  const archiveStatus = join(target, 'pg_wal', 'archive_status');
  await mkdir(archiveStatus, { mode: 0o700 });
  if (user.uid !== undefined && user.gid !== undefined) await chown(archiveStatus, user.uid, user.gid);
}

/** Writes a file that only the server's user may read. */
export async function writeOwned(path: string, text: string, { uid, gid }: RunAs): Promise<void> {
  await writeFile(path, text, { mode: 0o600 });
  await chmod(path, 0o600);
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
}

/** Appends to the file that ALTER SYSTEM writes; the last setting of a name counts. */
export async function writeSettings(
  data: string,
  user: RunAs,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const lines = Object.entries(settings).map(
    ([key, value]) => `${key} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'\n`,
  );
  const path = join(data, 'postgresql.auto.conf');
  await writeOwned(path, `${await readFile(path, 'utf8')}${lines.join('')}`, user);
}
