import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { EXIT } from '../../cli/exit-codes.ts';
import { PRINCIPAL, startDekApp } from '../fixtures/dek-app.ts';
import { aServer } from './answers-of-api.ts';
import { problem, startFakeApi } from './fake-api.ts';
import { run } from './run.ts';

const ROOT = join(import.meta.dirname, '../..');
const MAIN = join(ROOT, 'cli/main.ts');

async function spawn(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const ran = promisify(execFile)(process.execPath, [MAIN, ...argv], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
  });
  try {
    return { code: 0, ...(await ran) };
  } catch (error) {
    const { code, stdout, stderr } = Object(error);
    return { code, stdout, stderr };
  }
}

/** By a pipe whose other end is closed before anything is written to it. */
async function spawnUnread(argv: readonly string[], env: Readonly<Record<string, string>>) {
  const end = 'exec 3>&1; { "$@" 2>&3; echo " code $?" >&3; } | true';
  const { stdout } = await promisify(execFile)('sh', ['-c', end, 'sh', process.execPath, MAIN, ...argv], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
  });
  const [, stderr = '', code = ''] = /^(.*) code (\d+)\n$/s.exec(stdout) ?? [];
  return { code: Number(code), stderr };
}

describe('the program itself', () => {
  test('talks to an app, with the token of the environment', async () => {
    await using api = await startFakeApi({
      'GET /api/servers': { body: { servers: [aServer()], held: [], cursor: null } },
    });
    const { code, stdout } = await spawn(['servers', '-o', 'json'], {
      PG_CMK_URL: api.url,
      PG_CMK_TOKEN: 'tok',
    });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ servers: [{ serverId: 'orders-1' }] });
    expect(api.seen[0]?.headers.authorization).toBe('Bearer tok');
  });

  test('ends with the exit code of what went wrong, and no trace of the stack', async () => {
    await using api = await startFakeApi({ 'GET /api/servers/x': problem(404, 'ServerNotFound') });
    const { code, stdout, stderr } = await spawn(['servers', 'show', 'x', '--url', api.url], {
      PG_CMK_TOKEN: 't',
    });
    expect(code).toBe(EXIT.refused);
    expect(stdout).toBe('');
    expect(stderr.split('\n')).toHaveLength(3);
  });

  test('says its version, which is that of the package', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
    expect((await spawn(['--version'])).stdout).toBe(`${version}\n`);
  });

  test.each([
    ['once', []],
    ['with --watch', ['--watch']],
  ])('a key whose reader is gone is no success: %s', async (_, options) => {
    const app = await startDekApp();
    try {
      const { code, stderr } = await spawnUnread(['dek', '--server', 's001', ...options], {
        PG_CMK_URL: app.url,
        PG_CMK_TOKEN: PRINCIPAL,
      });
      expect(app.answers()).toBe(1);
      expect(stderr).toContain('[OutputLost]');
      expect(code).toBe(EXIT.unexpected);
    } finally {
      await app.stop();
    }
  });

  test('a list whose reader has read enough is one', async () => {
    await using api = await startFakeApi({
      'GET /api/servers': { body: { servers: [aServer()], held: [], cursor: null } },
    });
    const env = { PG_CMK_URL: api.url, PG_CMK_TOKEN: 'tok' };
    expect(await spawnUnread(['servers'], env)).toEqual({ code: EXIT.ok, stderr: '1 server\n' });
    expect(api.seen).toHaveLength(1);
  });

  test('is made to be run by Node', async () => {
    expect((await readFile(MAIN, 'utf8')).split('\n')[0]).toBe('#!/usr/bin/env node');
  });
});

describe('a command line', () => {
  test.each([
    [['--help'], EXIT.ok],
    [['servers', 'register', '--help'], EXIT.ok],
    [['help', 'rotate'], EXIT.ok],
    [['--version'], EXIT.ok],
    [['-V'], EXIT.ok],
    [[], EXIT.usage],
    [['bogus'], EXIT.usage],
    [['servers', 'bogus'], EXIT.usage],
    [['servers', '--bogus'], EXIT.usage],
    [['servers', 'show'], EXIT.usage],
    [['servers', '-o', 'yaml'], EXIT.usage],
    [['keys', 'show', 'nonsense'], EXIT.usage],
    [['rotate', 'v/k', '--every', '0'], EXIT.usage],
  ])('%j ends with %d', async (argv, code) => {
    expect((await run(argv, { url: 'http://127.0.0.1:9' })).code).toBe(code);
  });

  test('that is wrong is said in one line, with where to look', async () => {
    const { stderr, stdout } = await run(['servers', '--bogus']);
    expect(stdout).toBe('');
    expect(stderr).toBe("error: unknown option '--bogus' [UsageWrong]\nSee pg-cmk servers --help.\n");
  });

  test.each([
    ['bogus', ['bogus'], "unknown command 'bogus'", 'pg-cmk'],
    [
      'of a group',
      ['servers', '--limit', '3', 'sho', 'x'],
      "unknown command 'sho' of pg-cmk servers",
      'pg-cmk servers',
    ],
    [
      'of a command',
      ['-o', 'table', 'servers', 'show'],
      "missing required argument 'server'",
      'pg-cmk servers show',
    ],
    [
      'too much',
      ['servers', 'show', 'x', 'y'],
      "too many arguments for 'show'. Expected 1 argument but got 2: x, y",
      'pg-cmk servers show',
    ],
  ])('that is wrong is answered with the help that is to the point: %s', async (_name, argv, what, help) => {
    const { stderr } = await run(argv);
    expect(stderr).toContain(what);
    expect(stderr).toContain(`[UsageWrong]\nSee ${help} --help.\n`);
  });

  test.each([
    ['vault.azure.net/orders', 'vault.azure.net/orders'],
    ['vault.azure.net/keys/orders', 'vault.azure.net/orders'],
    [`vault.azure.net/keys/orders/${'a'.repeat(32)}`, 'vault.azure.net/orders'],
    [`vault.azure.net/keys/${'a'.repeat(32)}`, 'vault.azure.net/keys'],
    ['https://vault.azure.net/keys/orders', 'vault.azure.net/orders'],
  ])('takes %s for the key %s', async (text, key) => {
    await using api = await startFakeApi({});
    await run(['keys', 'show', text], { url: api.url });
    expect(api.calls()).toEqual([`GET /api/keys/${key}`]);
  });

  test('that is wrong is said as JSON where JSON was asked for', async () => {
    for (const output of [['-o', 'json'], ['-ojson'], ['--output=json'], ['--output', 'json']]) {
      const { stderr } = await run(['servers', '--bogus', ...output]);
      expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'UsageWrong' } });
    }
  });

  test('help names every command, the configuration and the exit codes', async () => {
    const { stdout } = await run(['--help']);
    const commands = [
      'servers',
      'keys',
      'rotate',
      'impact',
      'retire',
      'drill',
      'audit',
      'verify',
      'dek',
      'doctor',
    ];
    for (const name of [...commands, 'PG_CMK_URL', 'PG_CMK_SCOPE', 'Exit codes'])
      expect(stdout).toContain(name);
  });

  test('without a URL, or a token, says what to set', async () => {
    const noUrl = await run(['servers']);
    expect(noUrl).toMatchObject({ code: EXIT.usage, stderr: expect.stringContaining('PG_CMK_URL') });
    const noToken = await run(['servers'], { url: 'http://127.0.0.1:9', env: { PG_CMK_TOKEN: '' } });
    expect(noToken).toMatchObject({ code: EXIT.usage, stderr: expect.stringContaining('PG_CMK_SCOPE') });
  });

  test('--url goes before the environment', async () => {
    await using api = await startFakeApi({ 'GET /api/keys': { body: { keys: [], cursor: null } } });
    const { code } = await run(['keys', '--url', `${api.url}/api`], { url: 'http://127.0.0.1:9' });
    expect(code).toBe(EXIT.ok);
  });

  test('whose app is not there ends as not available', async () => {
    const gone = await startFakeApi({});
    await gone[Symbol.asyncDispose]();
    const { code, stderr } = await run(['servers'], { url: gone.url });
    expect(code).toBe(EXIT.unavailable);
    expect(stderr).toContain('[AppUnreachable]');
  });

  test('never shows the token, whatever goes wrong', async () => {
    await using api = await startFakeApi({ 'GET /api/keys': { text: 'not JSON' } });
    for (const url of [api.url, 'http://127.0.0.1:9', 'nonsense']) {
      const { stdout, stderr, code } = await run(['keys', '-o', 'json'], { url });
      expect(code).not.toBe(EXIT.ok);
      expect(stdout + stderr).not.toContain('the-secret-token');
    }
  });

  test('that meets a fault of its own says so, and asks to report it', async () => {
    const fetch = () => {
      throw new Error('boom');
    };
    const sleep = () => Promise.reject(new TypeError('a bug'));
    const { code, stderr } = await run(['keys'], { url: 'http://127.0.0.1:9', io: { fetch, sleep } });
    expect(code).toBe(EXIT.unexpected);
    expect(stderr).toContain('TypeError: a bug [Unexpected]');
    expect(stderr).toContain('report');
  });

  test('what the sentence and the remedy say is not said twice', async () => {
    const checks = [{ outcome: 'failed', code: 'KeyIsDisabled', message: 'It is.', remedy: 'Enable it.' }];
    await using api = await startFakeApi({
      'GET /api/servers/a': problem(400, 'InvalidRequest', {
        detail: '{serverId}: is odd',
        faults: [{ pointer: '{serverId}', message: 'is odd' }],
      }),
      'GET /api/servers/b': problem(422, 'RegistrationRefused', { remedy: 'Enable it.', checks }),
      'GET /api/servers/c': problem(422, 'RegistrationRefused', { remedy: 'Mend both.', checks }),
    });
    const said = async (id: string) =>
      (await run(['servers', 'show', id], { url: api.url })).stderr.split('\n');
    expect(await said('a')).toEqual([
      'error: {serverId}: is odd [InvalidRequest]',
      'what to do about InvalidRequest',
      '',
    ]);
    expect((await said('b')).slice(1)).toEqual(['  KeyIsDisabled: It is.', 'Enable it.', '']);
    expect((await said('c')).slice(1)).toEqual(['  KeyIsDisabled: It is. Enable it.', 'Mend both.', '']);
  });

  test('the faults of a request are shown one a line', async () => {
    const faults = [
      { pointer: '/keyId', message: 'is no key' },
      { pointer: '', message: 'names nothing' },
    ];
    await using api = await startFakeApi({ 'GET /api/keys': problem(400, 'InvalidRequest', { faults }) });
    const { stderr } = await run(['keys'], { url: api.url });
    expect(stderr).toContain('  /keyId: is no key\n  /: names nothing\n');
  });
});
