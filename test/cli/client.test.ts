import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ApiClient, ApiProblem, makeApiClient } from '../../cli/client.ts';
import { makeTokenSource } from '../../cli/token.ts';
import { type Answer, problem, type Routes, startFakeApi } from './fake-api.ts';
import { NOW } from './run.ts';

const startApi = (routes: Routes) => startFakeApi(routes, { strict: false });

const inOrder = (...answers: readonly Answer[]) => {
  let asked = 0;
  return () => answers[Math.min(asked++, answers.length - 1)] ?? {};
};

function makeClient(url: string, waits: number[] = [], fetch = globalThis.fetch): ApiClient {
  const io = { fetch, now: () => NOW, sleep: async (ms: number) => void waits.push(ms) };
  return makeApiClient({ url, token: () => async () => 'a-token', io });
}

const caught = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => null,
    (error: unknown) => error,
  );

const ok = { body: { fine: true } };

describe('a request', () => {
  test('bears the token, and gives back status, ETag and body', async () => {
    await using api = await startApi({
      'PUT /base/api/x': { status: 201, headers: { etag: '"e1"' }, body: { a: 1 } },
    });
    const client = makeClient(`${api.url}/base/api/`);
    const answer = await client.request('PUT', '/api/x', {
      query: { limit: 5, key: 'a b', none: undefined },
      body: { b: 2 },
      ifMatch: '"e0"',
    });
    expect(answer).toMatchObject({ status: 201, etag: '"e1"', body: { a: 1 } });
    expect(api.seen[0]).toMatchObject({
      query: { limit: '5', key: 'a b' },
      body: { b: 2 },
      headers: { authorization: 'Bearer a-token', 'if-match': '"e0"', 'content-type': 'application/json' },
    });
  });

  test('bears no token where none is asked for', async () => {
    await using api = await startApi({ 'GET /api/health': ok });
    await makeClient(api.url).request('GET', '/api/health', { anonymous: true });
    expect(api.seen[0]?.headers.authorization).toBeUndefined();
  });

  test('that is refused says so by code, remedy, faults and what else the problem holds', async () => {
    await using api = await startApi({
      'GET /api/x': problem(422, 'InvalidRequest', {
        faults: [{ pointer: '/keyId', message: 'is missing' }],
        state: 'Revoking',
      }),
    });
    const error = await caught(makeClient(api.url).request('GET', '/api/x'));
    expect(error).toBeInstanceOf(ApiProblem);
    expect(error).toMatchObject({
      status: 422,
      code: 'InvalidRequest',
      exitCode: 3,
      remedy: 'what to do about InvalidRequest',
      faults: [{ pointer: '/keyId', message: 'is missing' }],
      members: { state: 'Revoking' },
    });
  });

  test.each([
    ['an error page', { status: 404, text: '<html>' }, { code: 'AnswerNotUnderstood', exitCode: 3 }],
    [
      'a redirect',
      { status: 302, headers: { location: 'https://elsewhere' } },
      { code: 'AnswerNotUnderstood' },
    ],
    ['a page that is none of ours', { text: '<html>' }, { code: 'AnswerNotUnderstood', exitCode: 1 }],
    ['a fault inside', problem(500, 'Internal'), { code: 'Internal', exitCode: 1 }],
  ])('answered by %s is an error', async (_name, answer, expected) => {
    await using api = await startApi({ 'GET /api/x': answer });
    expect(await caught(makeClient(api.url).request('GET', '/api/x'))).toMatchObject(expected);
    expect(api.seen).toHaveLength(1);
  });
});

describe('repeats', () => {
  test('wait as long as Retry-After says, and double without it', async () => {
    await using api = await startApi({
      'GET /api/x': inOrder(
        { ...problem(429, 'DekRateLimited'), headers: { 'retry-after': '7' } },
        problem(503, 'StoreUnavailable'),
        { ...problem(503, 'StoreUnavailable'), headers: { 'retry-after': 'Tue, 24 Nov 2026 12:00:09 GMT' } },
        ok,
      ),
    });
    const waits: number[] = [];
    expect(await makeClient(api.url, waits).request('GET', '/api/x')).toMatchObject(ok);
    expect(waits).toEqual([7000, 2000, 9000]);
  });

  test('end after four tries, as not available', async () => {
    await using api = await startApi({ 'GET /api/x': problem(503, 'VaultUnavailable') });
    const error = await caught(makeClient(api.url).request('GET', '/api/x'));
    expect(error).toMatchObject({ code: 'VaultUnavailable', exitCode: 4 });
    expect(api.seen).toHaveLength(4);
  });

  test.each([
    ['a drill', undefined, 1],
    ['an order that may be given twice', true, 4],
  ])('of a POST: %s', async (_name, repeatable, times) => {
    await using api = await startApi({ 'POST /api/x': problem(503, 'StoreUnavailable') });
    const options = repeatable === undefined ? {} : { repeatable };
    await caught(makeClient(api.url).request('POST', '/api/x', options));
    expect(api.seen).toHaveLength(times);
  });

  test('never wait longer than half a minute', async () => {
    await using api = await startApi({
      'GET /api/x': inOrder({ status: 429, headers: { 'retry-after': '86400' } }, ok),
    });
    const waits: number[] = [];
    await makeClient(api.url, waits).request('GET', '/api/x');
    expect(waits).toEqual([30_000]);
  });

  test('follow a connection that broke', async () => {
    await using api = await startApi({ 'GET /api/x': ok });
    let calls = 0;
    const flaky: typeof fetch = (...input) => {
      calls += 1;
      return calls === 1 ? Promise.reject(new TypeError('fetch failed')) : fetch(...input);
    };
    expect(await makeClient(api.url, [], flaky).request('GET', '/api/x')).toMatchObject(ok);
  });
});

describe('an app that is not there', () => {
  test('is unreachable, with what the network said', async () => {
    const gone = await startFakeApi({});
    await gone[Symbol.asyncDispose]();
    expect(await caught(makeClient(gone.url).request('GET', '/api/x'))).toMatchObject({
      code: 'AppUnreachable',
      exitCode: 4,
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });
});

describe('the URL', () => {
  test.each(['nonsense', 'http://app.example.com', 'ftp://localhost', 'https://user:secret@app.example.com'])(
    '%s gets no token',
    (url) => {
      const code = expect.objectContaining({ code: 'ConfigWrong', exitCode: 2 });
      expect(() => makeClient(url)).toThrow(code);
      expect(() => makeClient(url)).not.toThrow(/secret/);
    },
  );
});

describe('the token', () => {
  const loadCredential = async () => ({ getToken: async (scope: string) => ({ token: `for ${scope}` }) });

  test('comes from the environment before a file before an identity', async () => {
    const file = join(tmpdir(), `pg-cmk-token-${process.pid}`);
    await writeFile(file, 'from-file\n');
    const all = { PG_CMK_TOKEN: ' from-env ', PG_CMK_TOKEN_FILE: file, PG_CMK_SCOPE: 'api://x/.default' };
    const { PG_CMK_TOKEN: _token, ...without } = all;
    const { PG_CMK_TOKEN_FILE: _file, ...scopeOnly } = without;
    expect(await makeTokenSource({ env: all, loadCredential })()).toBe('from-env');
    expect(await makeTokenSource({ env: without, loadCredential })()).toBe('from-file');
    expect(await makeTokenSource({ env: scopeOnly, loadCredential })()).toBe('for api://x/.default');
  });

  test('file is read anew each time', async () => {
    const file = join(tmpdir(), `pg-cmk-token-anew-${process.pid}`);
    const source = makeTokenSource({ env: { PG_CMK_TOKEN_FILE: file }, loadCredential });
    await writeFile(file, 'one');
    expect(await source()).toBe('one');
    await writeFile(file, 'two');
    expect(await source()).toBe('two');
  });

  test.each([
    ['nothing', {}, 'ConfigMissing'],
    ['what is no token', { PG_CMK_TOKEN: 'Bearer s3cret' }, 'ConfigWrong'],
    ['a file that is not there', { PG_CMK_TOKEN_FILE: '/nowhere/token' }, 'FileUnusable'],
    ['an identity that gives none', { PG_CMK_SCOPE: 'api://none' }, 'TokenUnavailable'],
  ])('%s is an error that never repeats it', async (_name, env, code) => {
    const none = async () => ({ getToken: async () => null });
    const error = await caught((async () => makeTokenSource({ env, loadCredential: none })())());
    expect(error).toMatchObject({ code });
    expect(String(error)).not.toContain('s3cret');
  });

  test('an identity that fails is unavailable', async () => {
    const source = makeTokenSource({
      env: { PG_CMK_SCOPE: 'api://x' },
      loadCredential: () => Promise.reject(new Error('no az')),
    });
    expect(await caught(source())).toMatchObject({ code: 'TokenUnavailable', exitCode: 4 });
  });
});
