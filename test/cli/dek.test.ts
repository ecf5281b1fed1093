import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { Command } from 'commander';
import { afterEach, describe, expect, test } from 'vitest';
import { makeContext } from '../../cli/context.ts';
import { registerDek } from '../../cli/dek.ts';
import { type DekApp, PRINCIPAL, startDekApp } from '../fixtures/dek-app.ts';
import { FakeHost } from './dek/fake-host.ts';

const endings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

async function begin(options: { readonly terminal?: boolean; readonly token?: string } = {}) {
  const app: DekApp = await startDekApp();
  const directory = await mkdtemp(join(tmpdir(), 'dek-'));
  endings.push(app.stop, () => rm(directory, { recursive: true, force: true }));
  const host = new FakeHost();
  // Takes a copy, as a pipe does: what was written is zeroed afterwards.
  let written: Buffer[] = [];
  const sink = new Writable({
    write: (chunk: Uint8Array, _, done) => {
      written.push(Buffer.from(chunk));
      done();
    },
  });
  const stdout = Object.assign(sink, { isTTY: options.terminal === true });
  const bytes = () => {
    const taken = Buffer.concat(written);
    written = [];
    return taken;
  };
  let said = '';
  const stderr = new Writable({
    write: (chunk: Uint8Array, _, done) => {
      said += Buffer.from(chunk).toString();
      done();
    },
  });
  const context = makeContext(
    {
      stdin: new PassThrough(),
      stdout,
      stderr,
      env: { PG_CMK_URL: app.url, PG_CMK_TOKEN: options.token ?? PRINCIPAL },
      fetch: globalThis.fetch,
      now: () => new Date(),
      sleep: async () => undefined,
      loadCredential: () => Promise.reject(new Error('not here')),
    },
    () => ({ output: 'table' }),
  );
  const run = async (...args: readonly string[]) => {
    const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
    registerDek(program, context, host);
    for (const command of program.commands) {
      command.exitOverride().configureOutput({ writeErr: () => undefined });
    }
    await program.parseAsync(['dek', ...args], { from: 'user' });
  };
  const out = () => bytes().toString();
  /** Until it has said that so often, and nothing but time is waited for. */
  const heard = (what: RegExp, times = 1) =>
    until(() => said.split('\n').filter((line) => what.test(line)).length === times && host.sleeping === 1);
  return { app, directory, host, stdout, run, bytes, out, err: () => said, heard };
}

/** Until `holds`, for as long as a slow machine may need. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1000; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('it never came to that');
}

const present = (file: string) =>
  stat(file).then(
    () => true,
    () => false,
  );

describe('pg-cmk dek', () => {
  test('prints the DEK as hex, as base64, or as its bytes', async () => {
    const { app, run, bytes, out } = await begin();
    const dek = Buffer.from(await app.dek(), 'hex');
    await run('--server', 's001');
    expect(out()).toBe(`${dek.toString('hex')}\n`);
    await run('--server', 's001', '--format', 'base64');
    expect(out()).toBe(`${dek.toString('base64')}\n`);
    await run('--server', 's001', '--format', 'raw');
    expect(bytes()).toEqual(dek);
  });

  test('writes it to a file of its own, and its wrapping beside it', async () => {
    const { app, directory, run, out } = await begin();
    const [file, wrapped] = [join(directory, 'dek'), join(directory, 'wrapped.json')];
    await run('--server', 's001', '--format', 'raw', '--out', file, '--wrapped-out', wrapped);
    expect((await readFile(file)).toString('hex')).toBe(await app.dek());
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(wrapped, 'utf8'))).toMatchObject({
      serverId: 's001',
      keyId: expect.stringContaining(app.version),
      wrappedDek: { kekVersion: app.version },
    });
    expect(out()).toBe('');
    expect((await readdir(directory)).toSorted()).toEqual(['dek', 'wrapped.json']);
  });

  test('writes nothing where it is refused', async () => {
    const { directory, run, out } = await begin({ token: 'someone-else' });
    const file = join(directory, 'dek');
    await expect(run('--server', 's001', '--out', file)).rejects.toMatchObject({
      code: 'PrincipalMismatch',
      exitCode: 3,
    });
    expect([out(), await readdir(directory)]).toEqual(['', []]);
  });

  test('a raw key is kept off a terminal, unless it goes to a file', async () => {
    const { app, directory, run, out } = await begin({ terminal: true });
    await expect(run('--server', 's001', '--format', 'raw')).rejects.toMatchObject({
      code: 'UsageWrong',
      exitCode: 2,
    });
    expect([out(), app.answers()]).toEqual(['', 0]);
    await run('--server', 's001', '--format', 'raw', '--out', join(directory, 'dek'));
    expect(app.answers()).toBe(1);
  });

  test.each([
    ['no server', []],
    ['a server that is no id', ['--server', '../x']],
    ['an unknown format', ['--server', 's001', '--format', 'pem']],
  ])('refuses %s before it asks', async (_, args) => {
    const { app, run } = await begin();
    await expect(run(...args)).rejects.toMatchObject({
      name: expect.stringMatching(/^(Commander|InvalidArg)/),
    });
    expect(app.answers()).toBe(0);
  });

  test('a command for a lost lease needs somebody who notices', async () => {
    const { run } = await begin();
    await expect(run('--server', 's001', '--on-lost', 'true')).rejects.toMatchObject({ code: 'UsageWrong' });
  });

  test('says so where its reader is gone', async () => {
    const { run, stdout } = await begin();
    stdout.destroy();
    await expect(run('--server', 's001')).rejects.toMatchObject({ code: 'OutputLost', exitCode: 1 });
  });
});

describe('pg-cmk dek --watch', () => {
  test('hands the key on at once and closes its output, then says what it does on the other', async () => {
    const { app, host, run, out, err, heard } = await begin();
    const watching = run('--server', 's001', '--watch');
    await heard(/held until/);
    expect(out()).toBe(`${await app.dek()}\n`);
    expect(host.outputClosed).toBe(true);
    await host.advance(150);
    await heard(/renewed, held until/);
    host.stop();
    await watching;
    expect(out()).toBe('');
    expect(err()).toMatch(/stopped/);
    expect(host.listeners).toBe(0);
  });

  test('keeps the newest wrapping', async () => {
    const { app, directory, host, run, heard } = await begin();
    const wrapped = join(directory, 'wrapped.json');
    const watching = run('--server', 's001', '--watch', '--wrapped-out', wrapped);
    await until(() => host.sleeping === 1);
    app.world.vault.createVersion({ vault: 'alpha.vault.azure.net', name: 'fleet' });
    await app.world.settle();
    await host.advance(150);
    await heard(/: renewed/, 1);
    const { wrappedDek } = JSON.parse(await readFile(wrapped, 'utf8'));
    expect(wrappedDek.kekVersion).toBe((await app.world.row('s001')).wrapped.kekVersion);
    expect(wrappedDek.kekVersion).not.toBe(app.version);
    // A wrapping that can't be kept doesn't make the lease a lost one.
    await rm(directory, { recursive: true });
    await host.advance(150);
    await heard(/: renewed/, 2);
    await host.advance(160);
    await heard(/: renewed/, 3);
    host.stop();
    await watching;
  });

  test('after a revocation the key is taken away, the command runs once, and the exit code says why', async () => {
    const { app, directory, host, run, err } = await begin();
    const file = join(directory, 'dek');
    const watching = run('--server', 's001', '--watch', '--out', file, '--on-lost', 'stop it');
    const ended = expect(watching).rejects.toMatchObject({ code: 'LeaseLost', exitCode: 6 });
    await until(() => host.sleeping === 1);
    expect(await present(file)).toBe(true);
    expect(host.outputClosed).toBe(false);
    const now = app.world.clock.now();
    await app.world.changeKek({ hold: { by: 'anna', reason: 'test', since: now, until: null } });
    expect(host.commands).toEqual([]);
    await host.advance(150);
    await ended;
    expect(await present(file)).toBe(false);
    expect(host.commands).toEqual([
      { command: 'stop it', env: { PG_CMK_SERVER: 's001', PG_CMK_LOST_CODE: 'DekRefused' } },
    ]);
    expect(err()).toMatch(/the lease is lost: .*OperatorHold.*\(DekRefused\)/);
    expect(host.listeners).toBe(0);
  });

  test('an outage takes the key away when the lease ends, not before', async () => {
    const { app, directory, host, run, heard } = await begin();
    const file = join(directory, 'dek');
    const watching = run('--server', 's001', '--watch', '--out', file, '--on-lost', 'stop it');
    const ended = expect(watching).rejects.toMatchObject({ code: 'LeaseLost', exitCode: 6 });
    await until(() => host.sleeping === 1);
    app.setOutage(503);
    for (let tries = 1; tries <= 9; tries += 1) {
      await host.advance(tries === 1 ? 150 : 15);
      await heard(/not renewed/, tries);
    }
    expect([await present(file), host.commands]).toEqual([true, []]);
    await host.advance(15);
    await heard(/not renewed/, 10);
    await host.advance(15);
    await ended;
    expect([await present(file), host.commands]).toEqual([
      false,
      [{ command: 'stop it', env: { PG_CMK_SERVER: 's001', PG_CMK_LOST_CODE: 'LeaseEnded' } }],
    ]);
  });

  test('a command that fails changes nothing of it', async () => {
    const { app, host, run, err } = await begin();
    host.shellStatus = 7;
    const watching = run('--server', 's001', '--watch', '--on-lost', 'false');
    const ended = expect(watching).rejects.toMatchObject({ exitCode: 6 });
    await until(() => host.sleeping === 1);
    await app.world.changeRow('s001', { tombstone: true });
    await host.advance(150);
    await ended;
    expect(err()).toMatch(/ended with 7/);
  });

  test('told to stop, it takes its file along and runs nothing', async () => {
    const { directory, host, run } = await begin();
    const file = join(directory, 'dek');
    const watching = run('--server', 's001', '--watch', '--out', file, '--on-lost', 'stop it');
    await until(() => host.sleeping === 1);
    host.stop();
    await watching;
    expect([await present(file), host.commands]).toEqual([false, []]);
  });

  test('a key that is refused at the start is no lost lease', async () => {
    const { app, host, run } = await begin();
    await app.world.changeRow('s001', { tombstone: true });
    const watching = run('--server', 's001', '--watch', '--on-lost', 'stop it');
    await expect(watching).rejects.toMatchObject({ code: 'ServerDeleted', exitCode: 3 });
    expect([host.commands, host.outputClosed, host.listeners]).toEqual([[], false, 0]);
  });
});
