// A whole app on fakes: every operation wired as the composition root wires it, the queues that feed them, the timers
// that a test lets tick, and the customer's side of it: keys, vaults, servers.
import { generateKeyPairSync } from 'node:crypto';
import type { AuditAction, AuditRecord, Cause } from '../../shared/domain/audit.ts';
import type { KekState } from '../../shared/domain/kek.ts';
import { type KekId, kekKey, keyUrl } from '../../shared/domain/key-id.ts';
import type { VersionState } from '../../shared/domain/key-status.ts';
import type { RangeMessage } from '../../shared/domain/message.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import type { KeyLossPolicy } from '../../shared/domain/server-spec.ts';
import { makeDekSealer } from '../../shared/jose/seal-dek.ts';
import { makeStatementSigner } from '../../shared/jose/sign-statement.ts';
import { makeApplyServerAccess } from '../../shared/operations/apply-server-access.ts';
import { makeChangePolicy } from '../../shared/operations/change-policy.ts';
import { makeCheckRegistration } from '../../shared/operations/check-registration.ts';
import { makeClearBreaker } from '../../shared/operations/clear-breaker.ts';
import { makeCopyServer } from '../../shared/operations/copy-server.ts';
import { makeCountDependents } from '../../shared/operations/count-dependents.ts';
import { makeDeleteServer } from '../../shared/operations/delete-server.ts';
import { makeDeliverOutbox } from '../../shared/operations/deliver-outbox.ts';
import { makeDrillServer } from '../../shared/operations/drill-server.ts';
import { makeFanOut } from '../../shared/operations/fan-out.ts';
import { makeFindWrapping } from '../../shared/operations/find-wrapping.ts';
import { makeFinishMove } from '../../shared/operations/finish-move.ts';
import { makeFinishRotation } from '../../shared/operations/finish-rotation.ts';
import { makeHoldKek } from '../../shared/operations/hold-kek.ts';
import { makeHoldServer } from '../../shared/operations/hold-server.ts';
import { makeListServers, makeReadServer } from '../../shared/operations/list-servers.ts';
import { makeMoveServer } from '../../shared/operations/move-server.ts';
import { makeObserveKek } from '../../shared/operations/observe-kek.ts';
import { makePlanRewrap } from '../../shared/operations/plan-rewrap.ts';
import { makeProbeKeks } from '../../shared/operations/probe-keks.ts';
import { makeReadAudit } from '../../shared/operations/read-audit.ts';
import { makeReadImpact } from '../../shared/operations/read-impact.ts';
import { makeListKeks, makeReadKek } from '../../shared/operations/read-keks.ts';
import { makeReadProgress } from '../../shared/operations/read-progress.ts';
import { makeReconcileKek } from '../../shared/operations/reconcile-kek.ts';
import { makeRecordPoison } from '../../shared/operations/record-poison.ts';
import {
  makeRegisterServer,
  makeValidateRegistration,
  type RegisterCommand,
} from '../../shared/operations/register-server.ts';
import { makeRejectInput } from '../../shared/operations/reject-input.ts';
import { makeReleaseDek } from '../../shared/operations/release-dek.ts';
import { makeRetireVersion } from '../../shared/operations/retire-version.ts';
import { makeLookNow, makeRevalidateServer } from '../../shared/operations/revalidate-server.ts';
import { makeRewrapDeks } from '../../shared/operations/rewrap-deks.ts';
import { makeStartRewrap } from '../../shared/operations/start-rewrap.ts';
import { makeSubmitHint } from '../../shared/operations/submit-hint.ts';
import { makeSweepFleet } from '../../shared/operations/sweep-fleet.ts';
import { makeTargetProofs } from '../../shared/operations/target-proofs.ts';
import type { DekSealer } from '../../shared/ports/dek-sealer.ts';
import type { HistoryRow } from '../../shared/ports/server-store.ts';
import type { StatementSigner } from '../../shared/ports/statement-signer.ts';
import type { Meter } from '../../shared/ports/telemetry.ts';
import { FakeEscrow } from './escrow.ts';
import { FakeExportCatalog } from './export-catalog.ts';
import { FakeKeyVault } from './key-vault.ts';
import { makeMemoryStores } from './memory-stores.ts';
import { FakePublisher } from './publisher.ts';
import { CollectingLog, FakeClock, makeSeededRandom } from './runtime.ts';
import { type MemoryServer, makeMemoryServerAccess } from './server-access.ts';
import { CollectingMeter } from './telemetry.ts';
import { FakeWorkQueue, type QueuedMessage } from './work-queue.ts';

export const VAULT = 'alpha.vault.azure.net';
export const KEK: KekId = { vault: VAULT, name: 'fleet' };

/** As a hint of the audit log would be; distinct from every other. */
export const eventCause = (id: string): Cause => ({
  kind: 'event',
  id,
  type: 'Microsoft.KeyVault.KeyNewVersionCreated',
});

export interface WorldOptions {
  readonly seed?: number;
  /** false: no topic is configured. */
  readonly publishes?: boolean;
  readonly pause?: () => Promise<void>;
  /** Of a DEK that is released. */
  readonly leaseSeconds?: number;
  /** Of what the vault gives in 10 s, for one probe. */
  readonly probeCost?: number;
  /** In place of the real one, whose work is done on other threads: in no order that a seed would bring back. */
  readonly sealer?: DekSealer;
  readonly signer?: StatementSigner;
  /** In place of the one that remembers. */
  readonly meter?: Meter;
}

export const RULES = {
  confirmSuspectSeconds: 60,
  restoreGapSeconds: 3,
  transientBufferHours: 24,
  breakerHoldMinutes: 60,
  inspection: { grantedSeconds: 3600, revokedSeconds: 60 },
  proveAfterSeconds: 600,
  sweepSeconds: 300,
  unsettledSeconds: 60,
  everySeconds: 60,
};

export type World = ReturnType<typeof makeWorld>;

export function makeWorld(options: WorldOptions = {}) {
  const clock = new FakeClock();
  const random = makeSeededRandom(options.seed ?? 1);
  const log = new CollectingLog();
  const telemetry = new CollectingMeter();
  const meter = options.meter ?? telemetry;
  const vault = new FakeKeyVault(clock);
  const stores = makeMemoryStores({
    onInvalid: (error) => log.write('error', error.message, error.detail),
    ...(options.pause === undefined ? {} : { pause: options.pause }),
  });
  const postgres = makeMemoryServerAccess();
  const queue = new FakeWorkQueue(clock);
  const escrow = new FakeEscrow();
  const exports = new FakeExportCatalog();
  const signer =
    options.signer ??
    makeStatementSigner({ key: generateKeyPairSync('ed25519').privateKey, issuer: 'pg-cmk', clock });
  const topic = new FakePublisher();
  const handles = new Map<string, MemoryServer>();

  /** One process of the app. Each has its own proofs, probes and coalescing; queues, tables and vaults are shared. */
  const startInstance = (access = postgres.port) => {
    const { keks, servers, index, outbox, audit } = stores;
    const localWrap = vault;
    const rules = RULES;
    const proofs = makeTargetProofs({ vault, clock });
    const findWrapping = makeFindWrapping({ servers });
    const observe = makeObserveKek({ vault, localWrap, proofs, clock, findWrapping });
    const finishRotation = makeFinishRotation({ keks, servers, clock });
    const finishMove = makeFinishMove({ keks, servers, index, escrow, queue, clock, random, log });
    const fanOut = makeFanOut({ keks, servers, queue, finishRotation, finishMove, clock, log, rules });
    const reconcileKek = makeReconcileKek({ keks, queue, observe, fanOut, clock, log, meter, rules });
    const rewrapDeks = makeRewrapDeks({
      keks,
      servers,
      queue,
      vault,
      localWrap,
      proofs,
      finishRotation,
      clock,
      random,
      log,
      meter,
      rules,
    });
    const checkRegistration = makeCheckRegistration({
      keks,
      vault,
      localWrap,
      proofs,
      access,
      clock,
      keyVaultDnsSuffixes: ['vault.azure.net'],
    });
    const registration = {
      keks,
      servers,
      index,
      escrow,
      queue,
      vault,
      localWrap,
      proofs,
      reconcileKek,
      clock,
      random,
      checkRegistration,
      drainSeconds: 900,
    };
    const lookNow = makeLookNow({
      keks,
      servers,
      index,
      queue,
      access,
      vault,
      localWrap,
      proofs,
      finishRotation,
      clock,
      random,
      log,
      meter,
    });
    const countDependents = makeCountDependents({ servers, exports, clock });
    const costOf = () => options.probeCost ?? 0.0001;
    const publisher = options.publishes === false ? null : topic;
    return {
      proofs,
      findWrapping,
      observe,
      finishRotation,
      fanOut,
      reconcileKek,
      rewrapDeks,
      applyServerAccess: makeApplyServerAccess({
        keks,
        servers,
        index,
        queue,
        access,
        clock,
        log,
        meter,
        rules,
      }),
      probes: makeProbeKeks({ keks, vault, queue, clock, log, costOf }),
      sweepFleet: makeSweepFleet({ keks, queue, clock, meter, rules }),
      registerServer: makeRegisterServer(registration),
      validateRegistration: makeValidateRegistration(registration),
      finishMove,
      moveServer: makeMoveServer({ ...registration, log, keyVaultDnsSuffixes: ['vault.azure.net'] }),
      copyServer: makeCopyServer(registration),
      deliverOutbox: makeDeliverOutbox({ keks, outbox, audit, publisher, log }),
      holdServer: makeHoldServer({ keks, servers, index, queue, finishMove, clock }),
      holdKek: makeHoldKek({ keks, queue, clock }),
      revalidateServer: makeRevalidateServer({ keks, servers, index, reconcileKek, lookNow, log }),
      deleteServer: makeDeleteServer({ keks, servers, index, escrow, access, finishMove, clock, random }),
      drillServer: makeDrillServer({
        keks,
        servers,
        index,
        queue,
        access,
        outbox,
        finishMove,
        clock,
        log,
        meter,
      }),
      recordPoison: makeRecordPoison({ servers, outbox, clock, log, meter }),
      submitHint: makeSubmitHint({ keks, queue, clock, log }),
      clearBreaker: makeClearBreaker({ keks, outbox, queue, clock, log, rules }),
      rejectInput: makeRejectInput({ outbox, clock, log }),
      releaseDek: makeReleaseDek({
        keks,
        servers,
        index,
        finishMove,
        outbox,
        vault,
        sealer: options.sealer ?? makeDekSealer(),
        clock,
        log,
        rules: { leaseSeconds: options.leaseSeconds ?? 300, releasesPerMinute: 10 },
      }),
      readProgress: makeReadProgress({ keks, servers, clock }),
      changePolicy: makeChangePolicy({ keks, queue, clock }),
      planRewrap: makePlanRewrap({ keks, servers, vault, clock, unwrapsPerSecond: () => 10 }),
      startRewrap: makeStartRewrap({ keks, queue, observe, clock, rules }),
      countDependents,
      readImpact: makeReadImpact({ keks, servers, access, clock, detectionSeconds: async () => 10 }),
      retireVersion: makeRetireVersion({
        keks,
        servers,
        audit,
        signer,
        countDependents,
        clock,
        soakHours: 2,
      }),
      listServers: makeListServers({ keks, servers, index }),
      readServer: makeReadServer({ keks, servers, index }),
      readAudit: makeReadAudit({ keks, index, audit }),
      listKeks: makeListKeks({ keks, exports, log }),
      readKek: makeReadKek({ keks, exports, log }),
    };
  };
  const app = startInstance();

  const deliverTo = (instance: ReturnType<typeof startInstance>, one: QueuedMessage): Promise<void> => {
    switch (one.queue) {
      case 'reconcile-keks':
        return instance.reconcileKek(one.message, one.insertedAt);
      case 'rewrap-deks':
        return instance.rewrapDeks(one.message);
      case 'server-access':
        return instance.applyServerAccess(one.message);
      case 'probe-keks':
        return instance.probes.probeShard(one.message);
    }
  };
  queue.handlers = {
    deliver: (one) => deliverTo(app, one),
    poison: (one) => app.recordPoison(one),
  };

  const orderOf = (serverId: string, change: Partial<RegisterCommand> = {}): RegisterCommand => ({
    serverId,
    keyId: keyUrl(KEK),
    access: { kind: 'none' },
    keyLossPolicy: 'terminate',
    drainSeconds: 300,
    principalId: null,
    labels: {},
    wrappedDek: null,
    by: 'anna',
    mayAssign: true,
    ifMatch: null,
    ...change,
  });

  const world = {
    clock,
    random,
    log,
    telemetry,
    vault,
    stores,
    postgres,
    queue,
    escrow,
    exports,
    signer,
    topic,
    app,
    startInstance,
    deliverTo,
    orderOf,

    /** Registers servers `{prefix}001` and so on, each with a PostgreSQL of its own. */
    register: async (
      count: number,
      change: Partial<RegisterCommand> & { readonly prefix?: string; readonly kek?: KekId } = {},
    ): Promise<readonly string[]> => {
      const { prefix = 's', kek = KEK, ...rest } = change;
      const ids = Array.from(
        { length: count },
        (_, index) => `${prefix}${String(index + 1).padStart(3, '0')}`,
      );
      for (const id of ids) {
        const handle = postgres.addServer();
        handles.set(id, handle);
        await app.registerServer(orderOf(id, { keyId: keyUrl(kek), access: handle.access, ...rest }));
      }
      return ids;
    },

    /** A key with one version and `count` servers under it, all `Ready` and counted. Returns the version. */
    begin: async (count: number, policy: KeyLossPolicy = 'terminate', kek: KekId = KEK): Promise<string> => {
      const version = vault.createVersion(kek);
      const prefix = kek === KEK ? 's' : `${kek.vault.split('.')[0]}-`;
      await world.register(count, { keyLossPolicy: policy, kek, prefix });
      await world.settle();
      return version;
    },

    /** The PostgreSQL of a server. */
    server: (serverId: string): MemoryServer => {
      const handle = handles.get(serverId);
      if (handle === undefined) throw new Error(`no such server: ${serverId}`);
      return handle;
    },

    isOpen: (serverId: string): boolean => world.server(serverId).takesConnections('app'),

    /** Every table row as it is. */
    kek: async (kek: KekId = KEK): Promise<KekState> => {
      const stored = await stores.keks.read(kek);
      if (stored === undefined) throw new Error(`not held: ${kekKey(kek)}`);
      return stored.kek.value;
    },
    version: async (version: string, kek: KekId = KEK): Promise<VersionState> => {
      const stored = await stores.keks.read(kek);
      const found = stored?.versions.find(({ value }) => value.version === version);
      if (found === undefined) throw new Error(`not known: ${version}`);
      return found.value;
    },
    row: async (serverId: string, kek: KekId = KEK): Promise<ServerRow> => {
      const stored = await stores.servers.read(kek, serverId);
      if (stored === undefined) throw new Error(`no row: ${serverId}`);
      return stored.value;
    },
    rows: async (kek: KekId = KEK): Promise<readonly ServerRow[]> => {
      const page = await stores.servers.page(kek, { after: null, from: null, to: null, limit: 1000 });
      return page.rows.map(({ value }) => value);
    },
    history: (serverId: string, kek: KekId = KEK): Promise<readonly HistoryRow[]> =>
      stores.servers.history(kek, serverId),

    /** Changes rows as somebody else would: an operator, another release, a fault. */
    changeKek: async (change: Partial<KekState>, kek: KekId = KEK): Promise<void> => {
      const stored = await stores.keks.read(kek);
      if (stored === undefined) throw new Error(`not held: ${kekKey(kek)}`);
      const value = { ...stored.kek.value, ...change };
      await stores.keks.commit(kek, { kek: { value, etag: stored.kek.etag }, versions: [], outbox: null });
    },
    changeVersion: async (
      version: string,
      change: Partial<VersionState>,
      kek: KekId = KEK,
    ): Promise<void> => {
      const stored = (await stores.keks.read(kek))?.versions.find(({ value }) => value.version === version);
      if (stored === undefined) throw new Error(`not known: ${version}`);
      const write = { value: { ...stored.value, ...change }, etag: stored.etag };
      await stores.keks.commit(kek, { kek: null, versions: [write], outbox: null });
    },
    changeRow: async (serverId: string, change: Partial<ServerRow>, kek: KekId = KEK): Promise<void> => {
      const stored = await stores.servers.read(kek, serverId);
      if (stored === undefined) throw new Error(`no row: ${serverId}`);
      const value = { ...stored.value, ...change };
      await stores.servers.commit(kek, [{ value, etag: stored.etag, history: null }], null);
    },

    hint: (kek: KekId = KEK, cause: Cause = eventCause('e')): Promise<void> =>
      app.submitHint({ target: { kind: 'kek', kek }, cause }),

    rangeOf: async (change: Partial<RangeMessage> = {}): Promise<RangeMessage> => ({
      kek: KEK,
      epoch: (await world.kek()).epoch,
      from: '',
      to: '~',
      attempt: null,
      cause: { kind: 'sweep' },
      ...change,
    }),

    /** Everything the app would do by itself in `seconds`: probes every 10 s, sweeps every minute, the outbox. */
    runFor: async (seconds: number): Promise<void> => {
      await queue.drain();
      for (let passed = 0; passed < seconds; passed += 10) {
        if (passed % 60 === 0) await app.sweepFleet();
        await app.probes.probeAll();
        await queue.drainFor(10);
      }
      await app.deliverOutbox();
    },

    /** One sweep of everything, due or not, and then until nothing is left to do but to wait for the next. */
    settle: async (): Promise<void> => {
      for await (const { kek } of stores.keks.list({ vault: null }))
        await queue.enqueueReconcile({ kek: kek.value.kek, cause: { kind: 'sweep' } });
      await queue.drainFor(4);
    },

    /** All audit records of a chain, oldest first. */
    audited: async (action?: AuditAction, kek: KekId = KEK): Promise<readonly AuditRecord[]> => {
      await app.deliverOutbox();
      const records: AuditRecord[] = [];
      for await (const { body } of stores.audit.readChain(kekKey(kek))) records.push(JSON.parse(body));
      return records.filter((record) => action === undefined || record.action === action);
    },
  };
  return world;
}
