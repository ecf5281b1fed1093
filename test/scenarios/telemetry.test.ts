// What a fleet tells of itself while it is rotated, loses its key and more: each metric of docs/infrastructure.md, with
// its kind and attributes, and no other; and one trace from a hint to all of its effects.
import { readFileSync } from 'node:fs';
import { DataPointType, type MetricData } from '@opentelemetry/sdk-metrics';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeKeyDisabledHandler } from '../../functions/events/key-disabled.ts';
import { makeKeyNewVersionCreatedHandler } from '../../functions/events/key-new-version-created.ts';
import { makeApplyServerAccessHandler } from '../../functions/queues/apply-server-access.ts';
import { makeReconcileKekHandler } from '../../functions/queues/reconcile-kek.ts';
import { makeRewrapDeksHandler } from '../../functions/queues/rewrap-deks.ts';
import { makeTraceInvocation } from '../../functions/trace-invocation.ts';
import { startVaultEmulator } from '../../local/key-vault/vault-emulator.ts';
import { systemClock } from '../../shared/azure/runtime.ts';
import { makeTelemetry } from '../../shared/azure/telemetry.ts';
import { makeKeyVault } from '../../shared/azure/vault/key-vault.ts';
import { CmkError } from '../../shared/domain/errors.ts';
import { keyUrl, parseKekId } from '../../shared/domain/key-id.ts';
import { unwrapDek } from '../../shared/operations/unwrap-dek.ts';
import type { QueuedMessage } from '../fakes/work-queue.ts';
import { KEK, makeWorld, type World } from '../fakes/world.ts';
import { invoke } from '../fixtures/invoke.ts';
import { registerSdk } from '../fixtures/registered-sdk.ts';

const [, section = ''] = readFileSync('docs/infrastructure.md', 'utf8').split('\n## Metrics\n');
/** name, kind and attributes of every row. */
const contract = (section.split('\n## ')[0] ?? '').split('\n').flatMap((line) => {
  const [, name, kind, attributes = ''] = /^\| `([\w.]+)` \| (\w+): [^|]* \| ([^|]*) \|$/.exec(line) ?? [];
  return name === undefined || kind === undefined
    ? []
    : [{ name, kind, attributes: [...attributes.matchAll(/`(\w+)`/g)].map(([, one]) => one) }];
});

const KIND_OF: Partial<Record<DataPointType, string>> = {
  [DataPointType.GAUGE]: 'gauge',
  [DataPointType.SUM]: 'counter',
  [DataPointType.HISTOGRAM]: 'histogram',
};

let sdk: ReturnType<typeof registerSdk>;
beforeAll(() => {
  sdk = registerSdk();
});
afterAll(() => sdk.unregister());

describe('the metrics', () => {
  let world: World;
  let told: readonly MetricData[];
  let secrets: readonly string[];

  beforeAll(async () => {
    const meter = makeTelemetry({ now: () => world.clock.now() });
    world = makeWorld({ meter });
    const first = await world.begin(3);
    world.clock.advance(60);
    world.vault.createVersion(KEK, { expiresOn: new Date('2030-06-01T00:00:00Z') });
    // The sweep meets a rotation that has begun and isn't done.
    await world.hint();
    await world.queue.step();
    await world.app.sweepFleet();
    const whileRotating = await sdk.collect();
    await world.settle();
    const ciphertexts = (await world.rows()).map(({ wrapped }) => wrapped.ciphertext);

    const { target } = await world.kek();
    world.vault.update(KEK, target ?? '', { enabled: false });
    world.clock.advance(4);
    await world.hint();
    await world.queue.drainFor(4);
    await world.app.sweepFleet();
    const whileLost = await sdk.collect();

    world.queue.handlers = {
      deliver: () =>
        Promise.reject(new CmkError('StoreUnavailable', 'no', { remedy: 'wait', retryable: true })),
      poison: (one) => world.app.recordPoison(one),
    };
    await world.hint();
    await world.queue.drainFor(200);
    const afterwards = await sdk.collect();
    told = [...whileRotating, ...whileLost, ...afterwards, ...(await tellOfRealVault(meter))];

    world.vault.update(KEK, target ?? '', { enabled: true });
    const { wrapped } = await world.row('s001');
    using dek = await unwrapDek(world.vault, KEK, 's001', wrapped);
    const bytes = dek.read((inner) => Buffer.from(inner));
    secrets = [
      ...ciphertexts,
      (await world.version(first)).canary ?? 'no canary',
      ...(['hex', 'base64', 'base64url'] as const).map((encoding) => bytes.toString(encoding)),
    ];
  }, 60_000);

  test('the table of the docs is read', () => {
    expect(contract).toHaveLength(10);
    expect(contract).toContainEqual({ name: 'pgcmk.servers', kind: 'gauge', attributes: ['state'] });
  });

  test.each(contract)('$name is a $kind with the attributes of the docs', ({ name, kind, attributes }) => {
    const ones = told.filter(({ descriptor }) => descriptor.name === name);
    expect(new Set(ones.map(({ dataPointType }) => KIND_OF[dataPointType]))).toEqual(new Set([kind]));
    const points = ones.flatMap(({ dataPoints }) => dataPoints.map((point) => point.attributes));
    expect(points.length).toBeGreaterThan(0);
    for (const point of points) expect(Object.keys(point).toSorted()).toEqual(attributes.toSorted());
  });

  test('there is no other', () => {
    const names = new Set(told.map(({ descriptor }) => descriptor.name));
    expect([...names].toSorted()).toEqual(contract.map(({ name }) => name).toSorted());
  });

  const pointsOf = (name: string) =>
    told
      .filter(({ descriptor }) => descriptor.name === name)
      .flatMap(({ dataPoints }) => dataPoints.map(({ attributes, value }) => ({ attributes, value })));

  test('the values are those of the story', () => {
    const kek = keyUrl(KEK);
    expect(pointsOf('pgcmk.rewrap.count')).toEqual([{ attributes: { outcome: 'rewrapped' }, value: 3 }]);
    expect(pointsOf('pgcmk.detection.latency')).toMatchObject([
      { value: { count: 1 } },
      { value: { count: 1, sum: 4_000 } },
    ]);
    expect(pointsOf('pgcmk.revocation.latency')).toMatchObject([{ value: { count: 3 } }]);
    expect(pointsOf('pgcmk.servers')).toContainEqual({ attributes: { state: 'Ready' }, value: 3 });
    expect(pointsOf('pgcmk.rotation.age')).toEqual([{ attributes: { kek, state: 'running' }, value: 0 }]);
    expect(pointsOf('pgcmk.poison')).toEqual([{ attributes: { queue: 'reconcile-keks' }, value: 1 }]);
    expect(pointsOf('pgcmk.vault.calls')).toEqual([
      { attributes: { kind: 'describe', outcome: 'ok' }, value: 1 },
      { attributes: { kind: 'askDeleted', outcome: 'ok' }, value: 1 },
      { attributes: { kind: 'describe', outcome: '404' }, value: 1 },
    ]);
  });

  test('nothing of a DEK, wrapped or not, is in any of it', () => {
    const text = JSON.stringify(told);
    expect(text).toContain(keyUrl(KEK));
    for (const secret of secrets) expect(text).not.toContain(secret);
  });
});

/** The fake vault of the world counts no calls: that is done where the SDK is. */
async function tellOfRealVault(meter: ReturnType<typeof makeTelemetry>): Promise<readonly MetricData[]> {
  const emulator = await startVaultEmulator();
  const emulated = await emulator.addVault('telemetry');
  await emulated.createKey('orders', { kty: 'RSA' });
  const vault = makeKeyVault({
    credential: { getToken: async () => ({ token: 'token', expiresOnTimestamp: Date.now() + 3_600_000 }) },
    verifyChallenge: false,
    limits: { share: 1, maxInstances: 1 },
    caPem: emulator.caPem,
    clock: systemClock,
    meter,
  });
  const kek = parseKekId(emulated.host, 'orders');
  await vault.describe(kek);
  await vault.askDeleted(kek);
  await vault.describe(parseKekId(emulated.host, 'other'));
  await emulator.close();
  return sdk.collect();
}

describe('the trace', () => {
  const origin = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
  const event = (type: string, data: object) => ({
    specversion: '1.0',
    id: type,
    type,
    source: 'test',
    time: '2030-01-01T00:00:00Z',
    data,
    ...origin,
  });

  /** The app on its queues, with every invocation made as the host makes it. */
  async function begin() {
    const telemetry = makeTelemetry(systemClock);
    const hook = makeTraceInvocation(telemetry);
    const world = makeWorld({ meter: telemetry });
    const version = await world.begin(2);
    const { reconcileKek, rewrapDeks, applyServerAccess, submitHint, rejectInput } = world.app;
    const ports = {
      ...{ reconcileKek, rewrapDeks, applyServerAccess, submitHint, rejectInput },
      vaultRules: { dnsSuffixes: ['vault.azure.net'] },
    };
    const handlers = {
      'reconcile-keks': ['reconcileKek', makeReconcileKekHandler(ports)],
      'rewrap-deks': ['rewrapDeks', makeRewrapDeksHandler(ports)],
      'server-access': ['applyServerAccess', makeApplyServerAccessHandler(ports)],
      'probe-keks': ['probeKekShard', async () => undefined],
    } as const;
    world.queue.carried = telemetry.current;
    world.queue.handlers = {
      deliver: ({ queue, message }: QueuedMessage) => {
        const [name, handler] = handlers[queue];
        return invoke(
          hook,
          name,
          (input, context) => handler(input, context),
          JSON.parse(JSON.stringify(message)),
        );
      },
      poison: async () => undefined,
    };
    const before = sdk.spans().length;
    return { world, version, hook, ports, spans: () => sdk.spans().slice(before) };
  }

  test('goes from an event through all queues to its effects', async () => {
    const { world, version, hook, ports, spans } = await begin();
    world.vault.createVersion(KEK);
    const created = event('Microsoft.KeyVault.KeyNewVersionCreated', { Id: keyUrl(KEK, version) });
    await invoke(hook, 'keyNewVersionCreated', (one) => makeKeyNewVersionCreatedHandler(ports)(one), created);
    await world.queue.drainFor(4);
    const { target } = await world.kek();
    expect((await world.rows()).every(({ wrapped }) => wrapped.kekVersion === target)).toBe(true);
    world.vault.update(KEK, target ?? '', { enabled: false });
    const disabled = event('PgCmk.KeyStatusHint', { keyId: keyUrl(KEK, target ?? '') });
    await invoke(hook, 'keyDisabled', (one) => makeKeyDisabledHandler(ports)(one), disabled);
    await world.queue.drainFor(4);
    expect((await world.rows()).map(({ applied }) => applied)).toEqual(['revoked', 'revoked']);

    const made = spans();
    expect(new Set(made.map((span) => span.spanContext().traceId))).toEqual(new Set(['a'.repeat(32)]));
    const nameOf = new Map(made.map((span) => [span.spanContext().spanId, span.name]));
    const edges = new Set(
      made.map((span) => `${nameOf.get(span.parentSpanContext?.spanId ?? '') ?? 'event'} > ${span.name}`),
    );
    for (const edge of [
      'event > keyNewVersionCreated',
      'keyNewVersionCreated > reconcileKek',
      'reconcileKek > rewrapDeks',
      'event > keyDisabled',
      'keyDisabled > reconcileKek',
      'reconcileKek > applyServerAccess',
    ])
      expect(edges).toContain(edge);

    const text = JSON.stringify(
      made.map(({ name, attributes, status, events, links }) => [name, attributes, status, events, links]),
    );
    for (const { wrapped } of await world.rows()) expect(text).not.toContain(wrapped.ciphertext);
  });

  test('of one hint is not that of another', async () => {
    const { world, spans } = await begin();
    await world.hint();
    await world.queue.drain();
    const [span] = spans();
    expect(span?.name).toBe('reconcileKek');
    expect(span?.spanContext().traceId).not.toBe('a'.repeat(32));
  });
});
