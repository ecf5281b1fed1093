// Keys, rotation, retirement, the audit and the app's own keys through the real handlers.
import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, test } from 'vitest';
import { type ChainedRecord, findBrokenRecord } from '../../../shared/domain/audit.ts';
import { type KekId, kekKey, keyUrl } from '../../../shared/domain/key-id.ts';
import { KEK, VAULT } from '../../fakes/world.ts';
import { makeApi } from './api-under-test.ts';

const OTHER: KekId = { vault: 'beta.vault.azure.net:8443', name: 'ledger' };
const PATH = `keys/${VAULT}/fleet`;

async function begin(count = 1) {
  const api = makeApi();
  const version = await api.world.begin(count);
  return { api, world: api.world, version };
}

describe('reading keys', () => {
  test('one key: status per version, census, policy, rotation, the newest export', async () => {
    const { api, world, version } = await begin(2);
    const exportedAt = world.clock.now();
    world.exports.current = { exportedAt, versions: { [kekKey(KEK)]: [version] } };
    const reply = await api.call('GET', PATH);
    expect(reply.status).toBe(200);
    expect(reply.headers.get('etag')).toMatch(/^"[\w-]+"$/);
    expect(reply.body).toMatchObject({
      keyId: keyUrl(KEK),
      vault: VAULT,
      name: 'fleet',
      target: version,
      settled: true,
      hold: null,
      policy: { haltAfterFailures: 10, canaryServers: [] },
      servers: 2,
      newestExport: { exportedAt: exportedAt.toISOString(), versions: [version] },
      progress: null,
    });
    expect(reply.body.versions).toMatchObject([
      { version, keyId: keyUrl(KEK, version), status: 'usable', verdict: 'serve', remedy: null, inUse: true },
    ]);
    expect(reply.body.versions[0].count).toMatchObject({ servers: 2, tombstones: 0 });
    const counted = await api.call('GET', `${PATH}?count=now`);
    expect(counted.body.progress).toMatchObject({ servers: 2, onTarget: 2, behind: 0, states: { Ready: 2 } });
  });

  test('a version that isn’t usable says why, and what to do', async () => {
    const { api, world, version } = await begin();
    world.vault.update(KEK, version, { enabled: false });
    await world.runFor(10);
    const [first] = (await api.call('GET', PATH)).body.versions;
    expect(first).toMatchObject({
      status: 'unusable',
      reason: 'KeyDisabled',
      verdict: 'revoke',
      enabled: false,
    });
    expect(first.remedy).toMatch(/Enable/);
  });

  test('all keys in pages, or those of one vault; the vault’s port may be in the path', async () => {
    const { api, world } = await begin();
    world.vault.createVersion(OTHER);
    await world.stores.keks.read(OTHER);
    const first = await api.call('GET', 'keys?limit=1');
    expect(first.body.keys.map(({ name }: { name: string }) => name)).toEqual(['fleet']);
    expect(first.body.cursor).toBeNull();
    expect((await api.call('GET', `keys/${encodeURIComponent(OTHER.vault)}/ledger`)).body.code).toBe(
      'KekNotFound',
    );
    const lower = await api.call('GET', `keys?vault=${VAULT.toUpperCase()}`);
    expect(lower.body.keys).toHaveLength(1);
    expect((await api.call('GET', 'keys?vault=gamma.vault.azure.net')).body.keys).toEqual([]);
  });

  test('pages go on where the last one ended', async () => {
    const { api, world } = await begin();
    const beta: KekId = { vault: 'beta.vault.azure.net', name: 'ledger' };
    world.vault.createVersion(beta);
    await world.register(1, { kek: beta, prefix: 'b' });
    const first = await api.call('GET', 'keys?limit=1');
    const second = await api.call('GET', `keys?limit=1&cursor=${first.body.cursor}`);
    const names = [...first.body.keys, ...second.body.keys].map(({ name }: { name: string }) => name);
    expect(names).toEqual(['fleet', 'ledger']);
    expect(second.body.cursor).toBeNull();
  });
});

describe('a key’s policy and hold', () => {
  test('PATCH changes what it names, under If-Match', async () => {
    const { api } = await begin();
    const etag = (await api.call('GET', PATH)).headers.get('etag') ?? '';
    const patch = (body: unknown, headers: Record<string, string> = {}) =>
      api.call('PATCH', PATH, { body, headers });
    const changed = await patch({ canaryServers: ['s001'], waveServers: 5 }, { 'if-match': etag });
    expect(changed).toMatchObject({
      status: 200,
      body: { policy: { canaryServers: ['s001'], waveServers: 5, haltAfterFailures: 10 } },
    });
    expect((await patch({ rewrapPaused: true }, { 'if-match': etag })).body.code).toBe('PreconditionFailed');
    expect((await patch({ haltAfterFailures: null })).body.policy.haltAfterFailures).toBeNull();
    expect((await patch({})).body.code).toBe('InvalidRequest');
    expect((await patch({ waveServers: 0, unknown: 1 })).body.faults).toHaveLength(2);
  });

  test('revoke and restore take the access of every server away, and give it back', async () => {
    const { api, world } = await begin(2);
    const held = await api.call('POST', `${PATH}/revoke`, { body: { reason: 'incident' } });
    expect(held).toMatchObject({
      status: 200,
      body: { hold: { by: 'anna', reason: 'incident', until: null } },
    });
    await world.queue.drainFor(10);
    expect([world.isOpen('s001'), world.isOpen('s002')]).toEqual([false, false]);
    expect((await api.call('POST', `${PATH}/restore`)).body.hold).toBeNull();
    await world.queue.drainFor(10);
    expect([world.isOpen('s001'), world.isOpen('s002')]).toEqual([true, true]);
  });
});

describe('rotating', () => {
  test('a dry run is a plan: 200; a run is taken: 202; the key says when it is through', async () => {
    const { api, world, version } = await begin(2);
    const newer = world.vault.createVersion(KEK);
    const plan = await api.call('POST', `${PATH}/rewrap`, { body: { dryRun: true } });
    expect(plan).toMatchObject({
      status: 200,
      body: { dryRun: true, keyId: keyUrl(KEK), newest: newer, toRewrap: 2, rotation: { state: 'idle' } },
    });
    expect((await world.row('s001')).wrapped.kekVersion).toBe(version);
    const run = await api.call('POST', `${PATH}/rewrap`);
    expect(run).toMatchObject({ status: 202, body: { dryRun: false } });
    await world.runFor(60);
    expect((await api.call('GET', PATH)).body.rotation).toMatchObject({ state: 'completed' });
  });

  test('a rotation shows its wave, its halt, its block as they are', async () => {
    const { api, world, version } = await begin();
    const at = world.clock.now();
    const instant = at.toISOString();
    const wave = { number: 1, upTo: 's001', openedAt: at };
    for (const rotation of [
      { state: 'running', startedAt: at, resumedAt: at, wave },
      { state: 'running', startedAt: at, resumedAt: null, wave: null },
      { state: 'halted', startedAt: at, since: at, failures: 3, wave },
      { state: 'blocked', newest: version, reason: 'KeyDisabled', since: at },
    ] as const) {
      await world.changeKek({ rotation });
      const shown = JSON.parse(JSON.stringify(rotation));
      expect((await api.call('GET', PATH)).body.rotation).toEqual(shown);
    }
    expect(instant).toMatch(/Z$/);
  });

  test('impact: who would lose access, page by page, with open sessions', async () => {
    const { api, world, version } = await begin(3);
    world.server('s001').openSession('app');
    const first = await api.call('GET', `${PATH}/impact?of=disable&version=${version}&limit=2`);
    expect(first).toMatchObject({
      status: 200,
      body: { keyId: keyUrl(KEK, version), of: 'disable', servers: 3, wouldLoseAccess: 3, sessionsOpen: 1 },
    });
    const more = `${PATH}/impact?of=disable&version=${version}&limit=2&cursor=${first.body.cursor}`;
    const pages = [...first.body.page, ...(await api.call('GET', more)).body.page];
    expect(pages.map(({ serverId }: { serverId: string }) => serverId)).toEqual(['s001', 's002', 's003']);
    expect((await api.call('GET', `keys/${VAULT}/other/impact?cursor=${first.body.cursor}`)).body.code).toBe(
      'InvalidCursor',
    );
    expect((await api.call('GET', `${PATH}/impact?limit=101`)).body.faults[0].pointer).toBe('?limit');
  });
});

describe('retiring', () => {
  test('refuses while something depends on it, with what; after the soak gives a statement that verifies', async () => {
    const { api, world, version } = await begin();
    const retire = () => api.call('POST', `${PATH}/versions/${version}/retire`);
    const refused = await retire();
    expect({ status: refused.status, code: refused.body.code }).toEqual({
      status: 409,
      code: 'VersionInUse',
    });
    expect(refused.body.dependents.length).toBeGreaterThan(0);
    world.vault.createVersion(KEK);
    await api.call('POST', `${PATH}/rewrap`, { body: {} });
    await world.runFor(900);
    const soaking = await retire();
    expect(soaking.body).toMatchObject({ code: 'VersionSoaking', retireFrom: expect.any(String) });
    await world.runFor(7300);
    const retired = await retire();
    expect(retired).toMatchObject({ status: 200, body: { keyId: keyUrl(KEK, version) } });
    expect(retired.body.next).toContain(`--id ${keyUrl(KEK, version)} --enabled false`);
    const jwks = (await api.call('GET', 'signing-keys')).body;
    const { payload } = await jwtVerify(retired.body.statement, createLocalJWKSet(jwks));
    expect(payload.sub).toBe(keyUrl(KEK, version));
    expect(JSON.stringify(jwks)).not.toContain('"d"');
    // Again: a statement again.
    expect((await retire()).status).toBe(200);
  });
});

describe('GET /api/audit', () => {
  test('pages through a chain that can be checked, by key, server and time', async () => {
    const { api, world } = await begin(2);
    await world.app.deliverOutbox();
    const key = encodeURIComponent(keyUrl(KEK));
    const records: ChainedRecord[] = [];
    let cursor: string | null = null;
    do {
      const more: string = cursor === null ? '' : `&cursor=${cursor}`;
      const { body } = await api.call('GET', `audit?key=${key}&limit=2${more}`);
      records.push(...body.records);
      cursor = body.cursor;
    } while (cursor !== null);
    expect(records.length).toBeGreaterThan(2);
    expect(findBrokenRecord(kekKey(KEK), records)).toBeNull();
    const ofServer = await api.call('GET', 'audit?server=s002');
    for (const { body } of ofServer.body.records) expect(JSON.parse(body).servers).toContain('s002');
    const later = await api.call('GET', 'audit?from=2031-01-01T00:00:00Z&to=2032-01-01T00:00:00Z');
    expect(later.body.records).toEqual([]);
    expect((await api.call('GET', 'audit?from=yesterday')).body.faults[0].pointer).toBe('?from');
  });
});

test.each([
  [['ok'], 200, 'ok'],
  [['ok', 'degraded'], 200, 'degraded'],
  [['degraded', 'failing', 'ok'], 503, 'failing'],
] as const)('health of %j is %i %s', async (statuses, status, said) => {
  const checks = statuses.map((one) => ({ name: 'tables', status: one, detail: 'd', remedy: null }));
  const api = makeApi({ change: { checkHealth: async () => checks } });
  expect(await api.call('GET', 'health')).toMatchObject({ status, body: { status: said, checks } });
});
