import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditEntry } from '../../shared/api/audit.ts';
import { KEY, V1, VAULT } from './answers-of-api.ts';
import { makeChain } from './chains.ts';
import { problem, type Routes, startFakeApi } from './fake-api.ts';
import { run } from './run.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pg-cmk-cli-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const records: readonly AuditEntry[] = makeChain(`${VAULT}|orders`, 5);

const pages: Routes = {
  'GET /api/audit': ({ query }) => {
    const from = Number(query['cursor'] ?? 0);
    const next = from + 2;
    return { body: { records: records.slice(from, next), cursor: next < 5 ? String(next) : null } };
  },
};

describe('audit list', () => {
  test('shows who did what to which server, of every page', async () => {
    await using api = await startFakeApi(pages);
    const { code, stdout, stderr } = await run(['audit', 'list', '--server', 'orders-1'], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /2026-11-24 11:00:01Z +contoso\.vault\.azure\.net\/orders +1 +server\.held +operator ann +orders-1 +reason 1/,
    );
    expect(stderr).toContain('5 records');
    expect(api.seen[0]?.query).toEqual({ server: 'orders-1', limit: '1000' });
  });

  test('takes times as instants or as ages, and a key without its version', async () => {
    await using api = await startFakeApi(pages);
    const argv = [
      'audit',
      '--key',
      `${KEY}/${V1}`,
      '--from',
      '24h',
      '--to',
      '2026-11-24T10:00:00Z',
      '--limit',
      '1',
    ];
    const ran = await run([...argv, '-o', 'json'], { url: api.url });
    expect(ran.json()).toMatchObject({ records: [{ sequence: 1 }], more: true });
    expect(api.seen[0]?.query).toEqual({
      key: KEY,
      from: '2026-11-23T12:00:00.000Z',
      to: '2026-11-24T10:00:00.000Z',
      limit: '1',
    });
  });

  test('a time that is none is wrong usage', async () => {
    const { code, stderr } = await run(['audit', 'list', '--from', 'yesterday'], {
      url: 'http://127.0.0.1:9',
    });
    expect(code).toBe(2);
    expect(stderr).toContain('24h');
  });

  test('a record of another version is shown as far as it goes', async () => {
    const odd = ['nonsense', 'null', '{"action":"x.y","servers":["a","b","c","d"]}'];
    const body = {
      records: odd.map((text, index) => ({ ...records[0], sequence: index + 1, body: text })),
      cursor: null,
    };
    await using api = await startFakeApi({ 'GET /api/audit': { body } });
    const { code, stdout } = await run(['audit'], { url: api.url });
    expect(code).toBe(0);
    expect(stdout).toMatch(/x\.y .*a, b, c and 1 more/);
  });
});

describe('audit export', () => {
  const parse = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));

  test('writes a record a line to standard output, and nothing else', async () => {
    await using api = await startFakeApi(pages);
    const { code, stdout, stderr } = await run(['audit', 'export'], { url: api.url });
    expect(code).toBe(0);
    expect(parse(stdout)).toEqual(records);
    expect(stderr).toContain('5 records exported');
  });

  test('to a file is what verify takes', async () => {
    await using api = await startFakeApi(pages);
    const out = join(folder, 'audit.jsonl');
    expect((await run(['audit', 'export', '--out', out], { url: api.url, isTTY: true })).code).toBe(0);
    expect(parse(await readFile(out, 'utf8'))).toEqual(records);
    expect((await run(['verify', out])).code).toBe(0);
  });

  test('that broke off leaves no file', async () => {
    await using api = await startFakeApi({
      'GET /api/audit': ({ query }) =>
        query['cursor'] === undefined
          ? { body: { records: records.slice(0, 2), cursor: 'next' } }
          : problem(503, 'StoreUnavailable'),
    });
    const { code } = await run(['audit', 'export', '--out', join(folder, 'half.jsonl')], { url: api.url });
    expect(code).toBe(4);
    expect((await readdir(folder)).filter((name) => name.startsWith('half'))).toEqual([]);
  });

  test('to a folder that is not there is said', async () => {
    await using api = await startFakeApi(pages);
    const { code, stderr } = await run(['audit', 'export', '--out', '/nowhere/a.jsonl'], { url: api.url });
    expect(code).toBe(2);
    expect(stderr).toContain('[FileUnusable]');
  });
});
