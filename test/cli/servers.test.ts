import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aRegistered, aServer, KEY, V1, V2, VAULT } from './answers-of-api.ts';
import { type Answer, problem, type Routes, startFakeApi } from './fake-api.ts';
import { run } from './run.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pg-cmk-cli-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const SERVER = '/api/servers/orders-1';
const found: Answer = { body: aServer(), headers: { etag: '"e1"' } };

describe('servers list', () => {
  const pages: Routes = {
    'GET /api/servers': ({ query }) =>
      query['cursor'] === undefined
        ? { body: { servers: [aServer()], held: [{ serverId: 'odd', problem: 'no dekId' }], cursor: 'next' } }
        : {
            body: {
              servers: [aServer({ serverId: 'orders-2', state: 'Inaccessible', reason: 'KeyDisabled' })],
              held: [],
              cursor: null,
            },
          },
  };

  test('shows every page, and rows that are held', async () => {
    await using api = await startFakeApi(pages);
    const { code, stdout, stderr } = await run(['servers', 'list'], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toMatch(/orders-1 +Ready/);
    expect(stdout).toMatch(/orders-2 +Inaccessible +KeyDisabled/);
    expect(stdout).toContain('odd: no dekId');
    expect(stderr).toContain('2 servers');
    expect(api.seen.map(({ query }) => query['cursor'])).toEqual([undefined, 'next']);
  });

  test('is what `servers` alone does, and passes the filters on', async () => {
    await using api = await startFakeApi(pages);
    const key = `${VAULT}/orders`;
    const argv = ['servers', '--key', key, '--state', 'Ready', '--version', V1];
    expect((await run(argv, { url: api.url })).code).toBe(0);
    expect(api.seen[0]?.query).toMatchObject({ key: KEY, state: 'Ready', version: V1, limit: '1000' });
  });

  test('stops at --limit and says that there are more', async () => {
    await using api = await startFakeApi(pages);
    const ran = await run(['servers', '--limit', '1', '-o', 'json'], { url: api.url });
    expect(ran.json()).toMatchObject({ servers: [{ serverId: 'orders-1' }], more: true });
    expect(api.seen).toHaveLength(1);
    expect(api.seen[0]?.query['limit']).toBe('1');
  });

  test('as JSON holds nothing but JSON, before and after the name of the command', async () => {
    await using api = await startFakeApi(pages);
    for (const argv of [
      ['-o', 'json', 'servers', 'list'],
      ['servers', 'list', '--output=json'],
    ]) {
      const ran = await run(argv, { url: api.url, isTTY: true });
      expect(ran.json()).toMatchObject({ servers: [{ serverId: 'orders-1' }, { serverId: 'orders-2' }] });
      expect(ran.stderr).toBe('');
    }
  });

  test('has colour on a terminal, and none elsewhere or where NO_COLOR is set', async () => {
    await using api = await startFakeApi(pages);
    const sequence = String.fromCharCode(27);
    const look = async (isTTY: boolean, env: Record<string, string>) =>
      (await run(['servers'], { url: api.url, isTTY, env })).stdout.includes(sequence);
    expect(await look(true, {})).toBe(true);
    expect(await look(true, { NO_COLOR: '1' })).toBe(false);
    expect(await look(true, { TERM: 'dumb' })).toBe(false);
    expect(await look(false, {})).toBe(false);
    expect(await look(false, { FORCE_COLOR: '1' })).toBe(true);
    expect(await look(true, { FORCE_COLOR: '0' })).toBe(false);
  });
});

describe('servers show', () => {
  test('says state, remedy, hold, failure and the ETag', async () => {
    const body = aServer({
      state: 'Revoking',
      reason: 'ServerUnreachable',
      remedy: 'Start the server.',
      pinned: true,
      hold: { by: 'ann', reason: 'incident', since: '2026-11-24T10:00:00.000Z', until: null },
      failure: {
        reason: 'ServerUnreachable',
        message: 'no route',
        since: '2026-11-24T10:00:00.000Z',
        attempt: 3,
        nextAttemptAt: '2026-11-24T12:01:00.000Z',
      },
      desired: 'revoked',
      keyLossPolicy: 'drain',
      copyOf: { serverId: 'orders-0', kind: 'replica' },
    });
    await using api = await startFakeApi({ [`GET ${SERVER}`]: { body, headers: { etag: '"e1"' } } });
    const { stdout, code } = await run(['servers', 'show', 'orders-1'], { url: api.url });
    expect(code).toBe(0);
    for (const text of [
      'Revoking',
      'Start the server.',
      'by ann since 2026-11-24 10:00:00Z: incident',
      'ServerUnreachable: no route (3 attempts, next at 2026-11-24 12:01:00Z)',
      'to be revoked, is granted',
      'drain, 900 s',
      'replica of orders-0',
      '"e1"',
    ]) {
      expect(stdout).toContain(text);
    }
  });

  test('lets no text from outside reach the terminal as an order', async () => {
    const body = aServer({ labels: { team: '\u001b]0;gotcha\u0007\u009b31m' } });
    await using api = await startFakeApi({ [`GET ${SERVER}`]: { body } });
    const { stdout } = await run(['servers', 'show', 'orders-1'], { url: api.url });
    expect(stdout).toContain(']0;gotcha31m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there.
    expect(stdout).not.toMatch(/[\u001b\u0007\u009b]/);
  });

  test('of one that is not there is refused, with one line what and one line what to do', async () => {
    await using api = await startFakeApi({ [`GET ${SERVER}`]: problem(404, 'ServerNotFound') });
    const { stdout, stderr, code } = await run(['servers', 'show', 'orders-1'], { url: api.url });
    expect({ stdout, stderr, code }).toEqual({
      stdout: '',
      stderr: 'error: what is wrong: ServerNotFound [ServerNotFound]\nwhat to do about ServerNotFound\n',
      code: 3,
    });
  });

  test('errors are JSON too where JSON was asked for', async () => {
    await using api = await startFakeApi({
      [`GET ${SERVER}`]: problem(403, 'RoleMissing', { role: 'Fleet.Read' }),
    });
    const { stderr, code } = await run(['servers', 'show', 'orders-1', '-o', 'json'], { url: api.url });
    expect(code).toBe(3);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'RoleMissing', status: 403, role: 'Fleet.Read' },
    });
  });

  test('an answer of another version is not guessed at', async () => {
    const body = { ...aServer(), state: 'Sleeping' };
    await using api = await startFakeApi({ [`GET ${SERVER}`]: { body } });
    const { stderr, code } = await run(['servers', 'show', 'orders-1'], { url: api.url });
    expect(code).toBe(1);
    expect(stderr).toContain('[AnswerNotUnderstood]');
  });
});

describe('servers register', () => {
  const isNew: Routes = {
    [`GET ${SERVER}`]: problem(404, 'ServerNotFound'),
    [`PUT ${SERVER}`]: { status: 201, body: aRegistered({ state: 'PendingKey' }) },
  };
  const way = ['--host', 'db', '--user', 'cmk_app', '--auth', 'setting:PGCMK_SECRET_ORDERS'];

  test('sends what the options say, and can keep the answer with the wrapped DEK', async () => {
    await using api = await startFakeApi(isNew);
    const out = join(folder, 'registered.json');
    const argv = [
      'servers',
      'register',
      'orders-1',
      '--key',
      KEY,
      ...way,
      '--exclude',
      'a, b',
      '--port',
      '6432',
    ];
    const more = ['--label', 'team=orders', '--label', 'tier=1', '--principal', 'p-1', '--out', out];
    const { code, stdout } = await run([...argv, ...more], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toContain('orders-1 is registered: PendingKey');
    expect(api.seen[1]?.body).toEqual({
      keyId: KEY,
      access: {
        kind: 'postgres',
        host: 'db',
        port: 6432,
        user: 'cmk_app',
        excludeDatabases: ['a', 'b'],
        auth: { kind: 'setting', name: 'PGCMK_SECRET_ORDERS' },
      },
      principalId: 'p-1',
      labels: { team: 'orders', tier: '1' },
    });
    expect(JSON.parse(await readFile(out, 'utf8'))).toHaveProperty('wrappedDek.ciphertext');
  });

  test('keeps what is not named of a server that is there, and undoes nobody’s change', async () => {
    await using api = await startFakeApi({
      [`GET ${SERVER}`]: found,
      [`PUT ${SERVER}`]: { body: aRegistered() },
    });
    const { stdout } = await run(
      ['servers', 'register', 'orders-1', '--label', 'tier=1', '--tls', 'require'],
      {
        url: api.url,
      },
    );
    expect(stdout).toContain('was registered before');
    expect(api.seen[1]).toMatchObject({
      headers: { 'if-match': '"e1"' },
      body: {
        keyId: KEY,
        access: { ...aServer().access, tls: 'require' },
        keyLossPolicy: 'terminate',
        drainSeconds: 900,
        labels: { team: 'orders', tier: '1' },
      },
    });
  });

  test('keeps a pin', async () => {
    await using api = await startFakeApi({
      [`GET ${SERVER}`]: { body: aServer({ pinned: true }) },
      [`PUT ${SERVER}`]: { body: aRegistered() },
    });
    await run(['servers', 'register', 'orders-1', '--dek-only'], { url: api.url });
    expect(api.seen[1]?.body).toMatchObject({ keyId: `${KEY}/${V1}`, access: { kind: 'none' } });
  });

  test('from a file is the file, with the ETag that was given', async () => {
    const file = join(folder, 'spec.json');
    await writeFile(file, JSON.stringify({ keyId: KEY, access: { kind: 'none' } }));
    await using api = await startFakeApi({ [`PUT ${SERVER}`]: { status: 201, body: aRegistered() } });
    const argv = ['servers', 'register', 'orders-1', '--file', file, '--if-match', '"e7"'];
    expect((await run(argv, { url: api.url })).code).toBe(0);
    expect(api.calls()).toEqual([`PUT ${SERVER}`]);
    expect(api.seen[0]).toMatchObject({
      body: { keyId: KEY, access: { kind: 'none' } },
      headers: { 'if-match': '"e7"' },
    });
  });

  test('takes over a wrapped DEK from a file', async () => {
    const file = join(folder, 'wrapped.json');
    await writeFile(file, JSON.stringify(aRegistered().wrappedDek));
    await using api = await startFakeApi(isNew);
    const argv = ['servers', 'register', 'orders-1', '--key', KEY, '--wrapped-dek', file];
    expect((await run(argv, { url: api.url })).code).toBe(0);
    expect(api.seen[1]?.body).toMatchObject({ wrappedDek: { kekVersion: V1 } });
  });

  const checks = [
    { code: 'PurgeProtectionOff', outcome: 'failed', message: 'it is off', remedy: 'Turn it on.' },
    { code: 'KeyIsDisabled', outcome: 'passed', message: 'enabled', remedy: null },
  ];

  test.each(['--validate-only', '--dry-run'])(
    'with %s shows every check, and what failed in the exit code',
    async (flag) => {
      const valid = { value: false };
      await using api = await startFakeApi({
        ...isNew,
        [`PUT ${SERVER}`]: () => ({ body: { valid: valid.value, checks } }),
      });
      const argv = ['servers', 'register', 'orders-1', '--key', KEY, flag];
      const bad = await run(argv, { url: api.url });
      expect(bad.code).toBe(5);
      expect(bad.stdout).toMatch(/PurgeProtectionOff +failed +it is off +Turn it on\./);
      expect(api.seen[1]?.query).toEqual({ validateOnly: 'true' });
      valid.value = true;
      expect((await run(argv, { url: api.url })).code).toBe(0);
    },
  );

  test('that is refused names the failed checks with their remedies', async () => {
    await using api = await startFakeApi({
      ...isNew,
      [`PUT ${SERVER}`]: problem(422, 'RegistrationRefused', { checks }),
    });
    const { code, stderr } = await run(['servers', 'register', 'orders-1', '--key', KEY], { url: api.url });
    expect(code).toBe(3);
    expect(stderr).toContain('PurgeProtectionOff: it is off Turn it on.');
    expect(stderr).not.toContain('KeyIsDisabled');
  });

  test.each([
    ['a new server without a key', []],
    ['half a way', ['--key', KEY, '--host', 'db']],
    ['a way that is none', ['--key', KEY, '--host', 'db', '--user', 'u', '--auth', 'password:hunter2']],
    ['a way and none', ['--key', KEY, '--host', 'db', '--dek-only']],
    ['a file and options', ['--key', KEY, '--file', 'x.json']],
    ['a file that is not there', ['--file', '/nowhere.json']],
    ['a label without a value', ['--key', KEY, '--label', 'team']],
    ['a port that is none', ['--key', KEY, '--port', '70000']],
    ['a key that is none', ['--key', 'nonsense']],
    ['a policy that is none', ['--key', KEY, '--key-loss-policy', 'explode']],
  ])('%s is wrong usage, and changes nothing', async (_name, more) => {
    await using api = await startFakeApi(isNew);
    const { code } = await run(['servers', 'register', 'orders-1', ...more], { url: api.url });
    expect(code).toBe(2);
    expect(api.calls().filter((call) => call.startsWith('PUT'))).toEqual([]);
  });
});

describe('orders that take something away', () => {
  const held = aServer({ state: 'Revoking', reason: 'OperatorHold' });
  const routes: Routes = {
    [`GET ${SERVER}`]: found,
    [`POST ${SERVER}/revoke`]: { body: held },
    [`DELETE ${SERVER}`]: {
      body: { serverId: 'orders-1', outcome: 'tombstone', keyId: `${KEY}/${V1}`, staysClosed: ['shop'] },
    },
  };
  const revoke = ['servers', 'revoke', 'orders-1', '--reason', 'incident 4711'];
  const remove = ['servers', 'delete', 'orders-1'];

  test.each([
    ['revoke', revoke],
    ['delete', remove],
  ])('%s is refused where nobody can confirm it', async (_name, argv) => {
    await using api = await startFakeApi(routes);
    const { code, stderr } = await run(argv, { url: api.url });
    expect(code).toBe(2);
    expect(stderr).toContain('[NotConfirmed]');
    expect(stderr).toContain('--yes');
    expect(api.calls()).toEqual([`GET ${SERVER}`]);
  });

  test.each([
    ['revoke', revoke, `POST ${SERVER}/revoke`],
    ['delete', remove, `DELETE ${SERVER}`],
  ])('%s is done when the name is typed, and not when something else is', async (_name, argv, call) => {
    await using api = await startFakeApi(routes);
    expect((await run(argv, { url: api.url, typed: 'orders-2' })).code).toBe(2);
    expect(api.calls()).not.toContain(call);
    const { code, stderr } = await run(argv, { url: api.url, typed: 'orders-1' });
    expect(code).toBe(0);
    expect(stderr).toContain('(Ready, policy terminate)');
    expect(api.calls()).toContain(call);
  });

  test('end of the input confirms nothing', async () => {
    await using api = await startFakeApi(routes);
    const { PassThrough } = await import('node:stream');
    const stdin = Object.assign(new PassThrough(), { isTTY: true });
    stdin.end();
    expect((await run(revoke, { url: api.url, isTTY: true, io: { stdin } })).code).toBe(2);
    expect(api.calls()).toEqual([`GET ${SERVER}`]);
  });

  test.each([
    ['revoke', revoke],
    ['delete', remove],
  ])('%s with --dry-run says what would happen, and changes nothing', async (_name, argv) => {
    await using api = await startFakeApi(routes);
    const { code, stdout } = await run([...argv, '--dry-run'], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toContain('Would happen: orders-1');
    expect(api.calls()).toEqual([`GET ${SERVER}`]);
  });

  test('revoke with --yes asks nobody, and sends the reason and the ETag', async () => {
    await using api = await startFakeApi(routes);
    const { code, stdout } = await run([...revoke, '--yes', '--if-match', '"e1"'], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toContain('orders-1: Revoking (OperatorHold)');
    expect(api.calls()).toEqual([`POST ${SERVER}/revoke`]);
    expect(api.seen[0]).toMatchObject({ body: { reason: 'incident 4711' }, headers: { 'if-match': '"e1"' } });
  });

  test('revoke without a reason is wrong usage', async () => {
    expect((await run(['servers', 'revoke', 'orders-1', '--yes'])).code).toBe(2);
  });

  test('delete says what stays closed, and passes --force and --purge on', async () => {
    await using api = await startFakeApi(routes);
    const { stdout } = await run([...remove, '--yes', '--force', '--purge'], { url: api.url });
    expect(stdout).toContain('databases that stay closed: shop');
    expect(api.seen[0]?.query).toEqual({ force: 'true', purge: 'dek' });
  });

  test('delete says when nobody can tell what stays closed, and that a purge is for good', async () => {
    await using api = await startFakeApi({
      ...routes,
      [`DELETE ${SERVER}`]: {
        body: { serverId: 'orders-1', outcome: 'purged', keyId: KEY, staysClosed: null },
      },
    });
    const dry = await run([...remove, '--purge', '--dry-run'], { url: api.url });
    expect(dry.stdout).toContain('given up for good');
    const { stdout } = await run([...remove, '--yes', '--purge'], { url: api.url });
    expect(stdout).toContain('is gone, and its DEK with it');
    expect(stdout).toContain('could not be asked');
  });

  test('sessions are named where they were counted: on a server whose access is taken away', async () => {
    const body = aServer({ state: 'Revoking', desired: 'revoked' });
    await using api = await startFakeApi({ [`GET ${SERVER}`]: { body } });
    const { stdout } = await run([...remove, '--force', '--dry-run'], { url: api.url });
    expect(stdout).toContain('(Revoking, 3 sessions open when last seen, policy terminate)');
    const shown = await run(['servers', 'show', 'orders-1'], { url: api.url });
    expect(shown.stdout).toMatch(/^sessions open +3$/m);
  });

  test('delete --dry-run of one that is not Ready says that it takes --force', async () => {
    await using api = await startFakeApi({ [`GET ${SERVER}`]: { body: aServer({ state: 'Suspect' }) } });
    const { stdout } = await run([...remove, '--dry-run'], { url: api.url });
    expect(stdout).toContain('refuses to delete it without --force');
  });
});

describe('other orders', () => {
  test('restore, revalidate and move ask nobody', async () => {
    const moving = aServer({ movingTo: `https://other.vault.azure.net/keys/orders/${V2}` });
    await using api = await startFakeApi({
      [`POST ${SERVER}/restore`]: { body: aServer({ state: 'Restoring' }) },
      [`POST ${SERVER}/revalidate`]: {
        body: aServer({ state: 'Suspect', reason: 'Throttled', remedy: 'Wait.' }),
      },
      [`PUT ${SERVER}/key`]: { body: moving },
    });
    const restored = await run(['servers', 'restore', 'orders-1'], { url: api.url });
    expect(restored).toMatchObject({ code: 0, stdout: 'orders-1: Restoring\n' });
    const looked = await run(['servers', 'revalidate', 'orders-1'], { url: api.url });
    expect(looked).toMatchObject({ code: 0, stdout: 'orders-1: Suspect (Throttled)\nWait.\n' });
    const moved = await run(['servers', 'move', 'orders-1', '--key', 'other.vault.azure.net/orders'], {
      url: api.url,
    });
    expect(moved.stdout).toContain('moving to https://other.vault.azure.net/keys/orders');
    expect(api.seen.at(-1)?.body).toEqual({ keyId: 'https://other.vault.azure.net/keys/orders' });
  });

  test.each([
    ['restore', ['servers', 'restore', 'orders-1'], 'orders-1 has no hold'],
    ['move', ['servers', 'move', 'orders-1', '--key', KEY], `moves from ${KEY}/${V1} to ${KEY}`],
    ['drill', ['drill', 'orders-1'], 'closed and opened again for real, and its sessions end'],
  ])('%s --dry-run only looks', async (_name, argv, text) => {
    await using api = await startFakeApi({ [`GET ${SERVER}`]: found });
    const { stdout, code } = await run([...argv, '--dry-run'], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toContain(text);
    expect(api.calls()).toEqual([`GET ${SERVER}`]);
  });

  test('copy makes one, and with --dry-run checks it as a registration under the same key', async () => {
    await using api = await startFakeApi({
      [`GET ${SERVER}`]: found,
      [`POST ${SERVER}/copies`]: { status: 201, body: aRegistered({ serverId: 'r-1', state: 'PendingKey' }) },
      'PUT /api/servers/r-1': { body: { valid: true, checks: [] } },
    });
    const argv = ['servers', 'copy', 'orders-1', 'r-1', '--kind', 'replica', '--principal', 'p'];
    expect((await run([...argv, '--dry-run'], { url: api.url })).code).toBe(0);
    expect(api.seen.at(-1)).toMatchObject({
      method: 'PUT',
      query: { validateOnly: 'true' },
      body: { keyId: KEY },
    });
    const { stdout } = await run(argv, { url: api.url });
    expect(stdout).toContain('r-1 is a replica of orders-1: PendingKey');
    expect(api.seen.at(-1)?.body).toEqual({ serverId: 'r-1', kind: 'replica', principalId: 'p' });
  });

  test('a copy needs its kind', async () => {
    expect((await run(['servers', 'copy', 'orders-1', 'r-1'])).code).toBe(2);
  });
});

describe('drill', () => {
  const measured = {
    serverId: 'orders-1',
    startedAt: '2026-11-24T12:00:00.000Z',
    revokedAfterMilliseconds: 1234,
    restoredAfterMilliseconds: 5678,
    closed: ['shop', 'web'],
    reopened: ['shop', 'web'],
    sessionsEnded: 3,
  };

  test('asks, measures, and is sent once only', async () => {
    await using api = await startFakeApi({
      [`GET ${SERVER}`]: found,
      [`POST ${SERVER}/drill`]: { body: measured },
    });
    expect((await run(['drill', 'orders-1'], { url: api.url })).code).toBe(2);
    const { code, stdout } = await run(['drill', 'orders-1'], { url: api.url, typed: 'orders-1' });
    expect(code).toBe(0);
    expect(stdout).toContain('1.2 s');
    expect(stdout).toContain('5.7 s');
    expect(api.calls().filter((call) => call.startsWith('POST'))).toHaveLength(1);
  });

  test('that did not reopen all is a finding', async () => {
    await using api = await startFakeApi({
      [`POST ${SERVER}/drill`]: { body: { ...measured, reopened: ['web'] } },
    });
    const { code, stdout } = await run(['drill', 'orders-1', '--yes'], { url: api.url });
    expect(code).toBe(5);
    expect(stdout).toContain('Not reopened: shop');
  });

  test('is not repeated by itself after a fault', async () => {
    await using api = await startFakeApi({ [`POST ${SERVER}/drill`]: problem(503, 'StoreUnavailable') });
    expect((await run(['drill', 'orders-1', '--yes'], { url: api.url })).code).toBe(4);
    expect(api.seen).toHaveLength(1);
  });
});
