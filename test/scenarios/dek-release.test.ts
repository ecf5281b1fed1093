// The server's side as it is used: the program itself, over HTTP, feeding programs that read a key.
import { type ChildProcess, spawn } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { KEK } from '../fakes/world.ts';
import { type DekApp, PRINCIPAL, startDekApp } from '../fixtures/dek-app.ts';

const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const page = fileURLToPath(new URL('../../docs/dek.md', import.meta.url));

/** As `cryptsetup --key-file=-`: every byte of standard input is the key. Opens a file that was sealed with it. */
const CONSUMER = `
import { createDecipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
const key = readFileSync(0);
if (key.length !== 32) throw new Error('a key of ' + key.length + ' bytes');
const disk = readFileSync(process.argv[2]);
const opener = createDecipheriv('aes-256-gcm', key, disk.subarray(0, 12));
opener.setAuthTag(disk.subarray(12, 28));
process.stdout.write(Buffer.concat([opener.update(disk.subarray(28)), opener.final()]));
`;

let directory: string;
let app: DekApp;
const running = new Set<ChildProcess>();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dek-release-'));
  // The program under its name, on the path.
  const program = join(directory, 'pg-cmk');
  await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' --no-warnings '${main}' "$@"\n`);
  await chmod(program, 0o755);
  await writeFile(join(directory, 'consumer.mjs'), CONSUMER);
});
afterEach(async () => {
  for (const child of running) child.kill('SIGKILL');
  await app.stop();
});
afterAll(() => rm(directory, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** A command in a shell, as a unit or a script runs it. */
function start(command: string, options: { readonly input?: Buffer; readonly token?: string } = {}) {
  const child = spawn('/bin/sh', ['-c', command], {
    cwd: directory,
    env: {
      ...process.env,
      PATH: `${directory}:${process.env['PATH']}`,
      PG_CMK_URL: app.url,
      PG_CMK_TOKEN: options.token ?? PRINCIPAL,
    },
  });
  running.add(child);
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? Buffer.alloc(0));
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => {
      running.delete(child);
      resolve({ code, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() });
    });
  });
  return { child, ended, said: () => Buffer.concat(err).toString(), out: () => Buffer.concat(out) };
}
const run = (command: string, options?: Parameters<typeof start>[1]) => start(command, options).ended;

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it never came to that');
}
const isThere = (file: string) =>
  stat(file).then(
    () => true,
    () => false,
  );

/** A disk that opens with the DEK alone. */
async function sealDisk(content: string): Promise<string> {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(await app.dek(), 'hex'), nonce);
  const body = Buffer.concat([cipher.update(content), cipher.final()]);
  const file = join(directory, 'disk');
  await writeFile(file, Buffer.concat([nonce, cipher.getAuthTag(), body]));
  return file;
}

const disable = (enabled: boolean) => app.world.vault.update(KEK, app.version, { enabled });

describe('a disk, as LUKS opens it', () => {
  const OPEN = `pg-cmk dek --server s001 --format raw | '${process.execPath}' consumer.mjs disk`;

  test('opens with the key on standard input', async () => {
    app = await startDekApp();
    await sealDisk('the data');
    expect(await run(OPEN)).toMatchObject({ code: 0, stdout: Buffer.from('the data') });
  });

  test('opens while the program stays to hold the lease', async () => {
    app = await startDekApp();
    await sealDisk('the data');
    const opening = start(OPEN.replace('raw', 'raw --watch'));
    await until(() => opening.out().length > 0);
    expect(opening.out().toString()).toBe('the data');
    expect(opening.child.exitCode).toBeNull();
  });

  test('stays closed for another identity, and for a key that is disabled', async () => {
    app = await startDekApp();
    await sealDisk('the data');
    const stranger = await run(OPEN, { token: 'someone-else' });
    expect(stranger.code).not.toBe(0);
    expect(stranger.stdout).toHaveLength(0);
    expect(stranger.stderr).toContain('PrincipalMismatch');
    disable(false);
    const refused = await run('pg-cmk dek --server s001 --format raw');
    expect(refused).toMatchObject({ code: 3, stdout: Buffer.alloc(0) });
    expect(refused.stderr).toContain('VaultRefused');
  });
});

describe("EDB's commands, as the page has them", () => {
  const commandOf = async (name: string, file: string) => {
    const [, command] = new RegExp(`^export ${name}='(.*)'$`, 'm').exec(await readFile(page, 'utf8')) ?? [];
    if (command === undefined) throw new Error(`the page has no ${name}`);
    return command.replaceAll('orders-1', 's001').replaceAll('%p', file);
  };

  test('wrap a data key and give it back; without the DEK both fail', async () => {
    app = await startDekApp();
    const file = join(directory, 'key.bin');
    const [wrap, unwrap] = [
      await commandOf('PGDATAKEYWRAPCMD', file),
      await commandOf('PGDATAKEYUNWRAPCMD', file),
    ];
    const dataKey = randomBytes(80);
    expect(await run(wrap, { input: dataKey })).toMatchObject({ code: 0 });
    expect((await readFile(file)).includes(dataKey)).toBe(false);
    expect(await run(unwrap)).toMatchObject({ code: 0, stdout: dataKey });

    disable(false);
    const refused = await run(unwrap);
    expect(refused.code).not.toBe(0);
    expect(refused.stdout).toHaveLength(0);
    const again = await run(wrap.replaceAll(file, `${file}.2`), { input: dataKey });
    expect(again.code).not.toBe(0);
  });
});

describe('a lease', () => {
  test('is renewed, and lost within itself after a revocation', async () => {
    const leaseSeconds = 4;
    app = await startDekApp(leaseSeconds);
    const [file, mark] = [join(directory, 'dek'), join(directory, 'lost')];
    const command = `printf '%s %s' "$PG_CMK_SERVER" "$PG_CMK_LOST_CODE" >> '${mark}'`;
    const watching = start(
      `pg-cmk dek --server s001 --format raw --out '${file}' --watch --on-lost "${command.replaceAll('"', '\\"').replaceAll('$', '\\$')}"`,
    );
    await until(() => /renewed/.test(watching.said()));
    expect((await readFile(file)).toString('hex')).toBe(await app.dek());
    const lastLease = (await app.world.row('s001')).leaseExpiresOn;

    disable(false);
    const disabledAt = performance.now();
    const { code, stderr, stdout } = await watching.ended;
    // Half a lease, and what a busy machine takes to run a program.
    expect(performance.now() - disabledAt).toBeLessThan((leaseSeconds + 10) * 1000);
    expect(code).toBe(6);
    expect(stderr).toContain('LeaseLost');
    expect(stdout).toHaveLength(0);
    expect(await isThere(file)).toBe(false);
    expect(await readFile(mark, 'utf8')).toBe('s001 VaultRefused');
    expect((await app.world.row('s001')).leaseExpiresOn).toEqual(lastLease);
  });

  test('ends by itself while nobody answers, also where a request hangs', async () => {
    app = await startDekApp(3);
    const watching = start('pg-cmk dek --server s001 --watch');
    await until(() => /held until/.test(watching.said()));
    app.world.vault.hook = () => new Promise(() => {});
    const { code, stdout } = await watching.ended;
    expect(code).toBe(6);
    expect(stdout.toString()).toBe(`${await dekOf()}\n`);
  });

  test('is left alone when the program is told to stop; the key goes with it', async () => {
    app = await startDekApp();
    const file = join(directory, 'dek-stopped');
    // `exec`: the signal is for the program, not for the shell.
    const watching = start(
      `exec pg-cmk dek --server s001 --out '${file}' --watch --on-lost 'touch "${file}.lost"'`,
    );
    await until(() => /held until/.test(watching.said()));
    expect(await isThere(file)).toBe(true);
    watching.child.kill('SIGTERM');
    expect((await watching.ended).code).toBe(0);
    expect([await isThere(file), await isThere(`${file}.lost`)]).toEqual([false, false]);
  });

  const dekOf = () => {
    app.world.vault.hook = null;
    return app.dek();
  };
});

test('a server that is down while its key comes back gets its DEK, boots, and is then reopened', async () => {
  app = await startDekApp();
  const { world } = app;
  disable(false);
  await world.runFor(60);
  expect([world.isOpen('s001'), (await run('pg-cmk dek --server s001')).code]).toEqual([false, 3]);
  world.server('s001').setReachable(false);

  disable(true);
  await world.runFor(60);
  expect(await world.row('s001')).toMatchObject({ desired: 'granted', applied: 'revoked' });
  const released = await run('pg-cmk dek --server s001');
  expect(released).toMatchObject({ code: 0, stdout: Buffer.from(`${await app.dek()}\n`) });
  expect(world.isOpen('s001')).toBe(false);

  world.server('s001').setReachable(true);
  await world.runFor(180);
  expect(world.isOpen('s001')).toBe(true);
});
