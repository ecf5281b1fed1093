// What every route has in common: who may ask, what is wrong with a request, what an answer looks like.
import { describe, expect, test } from 'vitest';
import { routes } from '../../../shared/api/routes.ts';
import { ROLES, type Role } from '../../../shared/domain/caller.ts';
import { CmkError } from '../../../shared/domain/errors.ts';
import { keyUrl } from '../../../shared/domain/key-id.ts';
import { makeVerifyToken } from '../../../shared/jose/verify-token.ts';
import { KEK } from '../../fakes/world.ts';
import { makeApi } from './api-under-test.ts';

const fill = (path: string): string =>
  path
    .replace('{serverId}', 's001')
    .replace('{vault}', KEK.vault)
    .replace('{name}', KEK.name)
    .replace('{version}', '0'.repeat(32));

const all = Object.entries(routes);
const guarded = all.flatMap(([name, { method, path, role }]) =>
  role === null ? [] : [{ name, method, path: fill(path), role }],
);

describe('who may ask', () => {
  test('every route of the table is registered under its own name', () => {
    expect(makeApi().names).toEqual(all.map(([name]) => name));
  });

  test.each(guarded)('$name takes the role $role, and no other will do', async ({ method, path, role }) => {
    const api = makeApi();
    const others: readonly Role[] = ROLES.filter((one) => one !== role);
    const { status, body, headers } = await api.call(method, path, {
      roles: others,
      ...(method === 'GET' ? {} : { body: '{' }),
    });
    expect({ status, code: body.code, role: body.role }).toEqual({ status: 403, code: 'RoleMissing', role });
    expect(headers.get('www-authenticate')).toBe('Bearer error="insufficient_scope"');
  });

  test.each(guarded)('$name answers 503 where no issuer is configured', async ({ method, path }) => {
    const api = makeApi({ isConfigured: false, verifyToken: makeVerifyToken(null) });
    const { status, body } = await api.call(method, path);
    expect({ status, code: body.code }).toEqual({ status: 503, code: 'AuthNotConfigured' });
    // Though a token were taken, nothing is behind it.
    const open = makeApi({ isConfigured: false });
    expect(
      (await open.call(method, path, method === 'GET' ? {} : { body: {} })).status,
    ).toBeGreaterThanOrEqual(400);
  });

  test('health and the OpenAPI document are open to anybody', async () => {
    const api = makeApi({ isConfigured: false, verifyToken: makeVerifyToken(null) });
    expect(await api.call('GET', 'health')).toMatchObject({
      status: 200,
      body: { status: 'ok', version: '1.2.3', now: '2030-01-01T00:00:00.000Z', checks: [] },
    });
    expect(await api.call('GET', 'openapi.json')).toMatchObject({ status: 200, body: { openapi: '3.1.0' } });
  });
});

describe('a request that can’t be understood', () => {
  const put = (body: unknown, headers: Record<string, string> = {}) =>
    makeApi().call('PUT', 'servers/s001', { body, headers });

  test('all its faults are told at once, each with where it is', async () => {
    const { status, body } = await makeApi().call('PUT', 'servers/UPPER?validateOnly=maybe&dryRun=1', {
      body: {
        keyId: 7,
        access: { kind: 'postgres', port: 0, 'a/b~c': 1 },
        keyLossPolicy: 'explode',
        labels: { team: 5 },
        unknown: true,
      },
    });
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'InvalidRequest' });
    expect(body.faults.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
      '/access/auth',
      '/access/a~1b~0c',
      '/access/host',
      '/access/port',
      '/access/user',
      '/keyId',
      '/keyLossPolicy',
      '/labels/team',
      '/unknown',
      '?dryRun',
      '?validateOnly',
      '{serverId}',
    ]);
  });

  test.each([
    ['no body', undefined, 'InvalidRequest', ''],
    ['half a body', '{"keyId":', 'InvalidRequest', ''],
    ['bytes that are no UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 'InvalidRequest', ''],
    ['text', '"text"', 'InvalidRequest', ''],
    ['null', 'null', 'InvalidRequest', ''],
    ['a list', '[]', 'InvalidRequest', ''],
  ])('%s', async (_, body, code, pointer) => {
    const reply = await put(body);
    expect({ status: reply.status, code: reply.body.code }).toEqual({ status: 400, code });
    expect(reply.body.faults[0].pointer).toBe(pointer);
  });

  test('a member called __proto__ is not dropped without a word', async () => {
    const keyId = keyUrl(KEK);
    const { body } = await put(`{"keyId":"${keyId}","labels":{"__proto__":"x"},"__proto__":{"a":1}}`);
    expect(body.faults.map(({ pointer }: { pointer: string }) => pointer)).toEqual(
      expect.arrayContaining(['/__proto__', '/labels/__proto__']),
    );
  });

  test('a body that is nested without end', async () => {
    const { status, body } = await put(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'InvalidRequest' });
  });

  test('a body above 256 KB, said so or not', async () => {
    for (const headers of [{}, { 'content-length': '300000' }]) {
      const { status, body } = await put(`{"keyId":"${'x'.repeat(262_144)}"}`, headers);
      expect({ status, code: body.code }).toEqual({ status: 413, code: 'BodyTooLarge' });
    }
    expect((await put('{}', { 'content-length': '300000' })).body.code).toBe('BodyTooLarge');
  });

  test.each(['text/plain', '', 'application/x-www-form-urlencoded', 'application/jsonp'])(
    'a body of type %j',
    async (type) => {
      const { status, body } = await put({ keyId: keyUrl(KEK) }, { 'content-type': type });
      expect({ status, code: body.code }).toEqual({ status: 415, code: 'ContentTypeRefused' });
    },
  );

  test.each(['application/json', 'Application/JSON; charset=utf-8', 'application/merge-patch+json'])(
    'a body of type %j is taken',
    async (type) => {
      const { body } = await put({ nothing: 1 }, { 'content-type': type });
      expect(body.code).toBe('InvalidRequest');
    },
  );

  test('with faults without end: a hundred are told, and of each as much as helps', async () => {
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`k${index}`, 1]));
    const { status, body } = await put(many);
    expect({ status, faults: body.faults.length }).toEqual({ status: 400, faults: 100 });
    const api = makeApi();
    const long = await api.call('PUT', 'servers/s001', { body: { ['x'.repeat(200_000)]: 1 } });
    expect(JSON.stringify(long.body).length).toBeLessThan(2000);
    expect(JSON.stringify(api.world.log.lines.at(-1)).length).toBeLessThan(2000);
  });

  test.each([
    ['/access/host', { host: '/var/run/postgresql' }],
    ['/access/host', { host: 'db\u0000.example' }],
    ['/access/host', { host: 'db example' }],
    ['/access/user', { user: 'cmk\u0000options\u0000-c search_path=evil' }],
    ['/access/maintenanceDatabase', { maintenanceDatabase: 'a\u0000b' }],
    ['/access/excludeDatabases/0', { excludeDatabases: ['a\nb'] }],
  ])('with %s that would say more to a server than a name: %j', async (pointer, change) => {
    const auth = { kind: 'entra' };
    const access = { kind: 'postgres', host: 'db', user: 'cmk', auth, ...change };
    const { status, body } = await put({ keyId: keyUrl(KEK), access });
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'InvalidRequest' });
    expect(body.faults.map((fault: { pointer: string }) => fault.pointer)).toEqual([pointer]);
  });

  test('with text that would forge lines of a log or a terminal, or is no text', async () => {
    for (const reason of ['a\nb', '\u001b[2J', 'a\u2028b', '\ud800']) {
      const { body } = await makeApi().call('POST', 'servers/s001/revoke', { body: { reason } });
      expect(body.faults).toEqual([{ pointer: '/reason', message: 'no control characters' }]);
    }
    const labels = Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`l${index}`, '']));
    const copy = { serverId: 'c', kind: 'restore', labels };
    const { body } = await makeApi().call('POST', 'servers/s001/copies', { body: copy });
    expect(body.faults).toEqual([{ pointer: '/labels', message: 'at most 20 labels' }]);
    expect((await makeApi().call('GET', "keys?vault=a'%00")).body.faults[0].pointer).toBe('?vault');
  });

  test('a query that says the same thing twice', async () => {
    const { body } = await makeApi().call('GET', 'servers?state=Ready&state=Revoking');
    expect(body.faults).toEqual([{ pointer: '?state', message: 'given more than once' }]);
  });

  test('a path whose vault is no host', async () => {
    const { status, body } = await makeApi().call('GET', 'keys/a_b/fleet');
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'InvalidKeyId' });
  });
});

describe('a problem', () => {
  const failing = (error: unknown) => makeApi({ change: { readServer: () => Promise.reject(error) } });

  test('has type, title, status, code, detail and remedy (RFC 9457), and of the detail what may be told', async () => {
    const error = new CmkError('ServerNotSettled', 'it is Revoking', {
      remedy: 'wait',
      detail: { state: 'Revoking', fault: { secret: 'what a stranger answered' } },
    });
    const reply = await failing(error).call('GET', 'servers/s001');
    expect(reply.headers.get('content-type')).toBe('application/problem+json');
    expect(reply.body).toEqual({
      type: 'urn:pg-cmk:problem:ServerNotSettled',
      title: 'Server not settled',
      status: 409,
      code: 'ServerNotSettled',
      detail: 'it is Revoking',
      remedy: 'wait',
      state: 'Revoking',
    });
  });

  test('that may pass is a 503 with Retry-After, whatever its code', async () => {
    const moving = new CmkError('ServerMoving', 'a move', { remedy: 'wait', retryable: true });
    const reply = await failing(moving).call('GET', 'servers/s001');
    expect(reply.status).toBe(503);
    expect(reply.headers.get('retry-after')).toBe('2');
  });

  test('of too much haste is a 429 that says when', async () => {
    const detail = { retryAfterSeconds: 7.2 };
    const hasty = new CmkError('DekRateLimited', 'slow down', { remedy: 'wait', retryable: true, detail });
    const reply = await failing(hasty).call('GET', 'servers/s001');
    expect(reply.status).toBe(429);
    expect(reply.headers.get('retry-after')).toBe('8');
  });

  test('of the app itself tells nothing but where to look', async () => {
    const api = failing(new TypeError('password=hunter2'));
    const reply = await api.call('GET', 'servers/s001');
    expect(reply.status).toBe(500);
    expect(reply.body.code).toBe('Internal');
    expect(JSON.stringify(reply.body)).not.toContain('hunter2');
    expect(reply.body.remedy).toContain('invocation-1');
    expect(api.world.log.lines.at(-1)).toMatchObject({
      level: 'error',
      fields: { function: 'readServer', invocationId: 'invocation-1', code: 'Internal', status: 500 },
    });
  });

  test('of an answer that isn’t as its schema says is one of the app itself', async () => {
    const world = makeApi().world;
    await world.begin(1);
    const listed = await world.app.readServer('s001');
    const value = { ...listed.stored.value, serverId: 'NOT AN ID' };
    const api = makeApi({
      change: { readServer: async () => ({ ...listed, stored: { value, etag: '1' } }) },
    });
    expect((await api.call('GET', 'servers/s001')).body.code).toBe('Internal');
  });

  test.each([
    ['TokenMissing', 'Bearer'],
    ['TokenExpired', 'Bearer error="invalid_token", error_description="TokenExpired"'],
  ] as const)('of a token is a challenge: %s', async (code, challenge) => {
    const verifyToken = () => Promise.reject(new CmkError(code, 'no', { remedy: 'get one' }));
    const reply = await makeApi({ verifyToken }).call('GET', 'servers');
    expect(reply.status).toBe(401);
    expect(reply.headers.get('www-authenticate')).toBe(challenge);
  });
});
