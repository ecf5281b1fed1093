// Everything the app does, built from its configuration: the adapters, and the operations on them.
import { readFileSync } from 'node:fs';
import { makeBlobEscrow } from '../shared/azure/blob-escrow.ts';
import { makeBlobExports } from '../shared/azure/blob-exports.ts';
import { makeCredential } from '../shared/azure/credential.ts';
import { makeEventPublisher } from '../shared/azure/event-publisher.ts';
import { makeConsoleLog, systemClock, systemRandom } from '../shared/azure/runtime.ts';
import { makeRawTables } from '../shared/azure/tables/raw-tables.ts';
import type { StorageConnection } from '../shared/azure/tables/storage-connection.ts';
import { makeTableStores } from '../shared/azure/tables/table-stores.ts';
import { makeTelemetry } from '../shared/azure/telemetry.ts';
import { makeKeyVault } from '../shared/azure/vault/key-vault.ts';
import { makeLocalWrap } from '../shared/azure/vault/local-wrap.ts';
import { ceilingOf, costOf, limitClassOf, type VaultLimits } from '../shared/azure/vault/vault-limits.ts';
import { makeWorkQueue } from '../shared/azure/work-queue.ts';
import type { Config } from '../shared/config.ts';
import { makeIssuerKeys } from '../shared/jose/issuer-keys.ts';
import { makeDekSealer } from '../shared/jose/seal-dek.ts';
import { makeStatementSigner } from '../shared/jose/sign-statement.ts';
import { makeVerifyToken } from '../shared/jose/verify-token.ts';
import { longestGapSeconds } from '../shared/ncrontab.ts';
import { makeApplyServerAccess } from '../shared/operations/apply-server-access.ts';
import { makeChangePolicy } from '../shared/operations/change-policy.ts';
import { makeCheckHealth } from '../shared/operations/check-health.ts';
import { makeCheckRegistration } from '../shared/operations/check-registration.ts';
import { makeClearBreaker } from '../shared/operations/clear-breaker.ts';
import { makeCopyServer } from '../shared/operations/copy-server.ts';
import { makeCountDependents } from '../shared/operations/count-dependents.ts';
import { makeDeleteServer } from '../shared/operations/delete-server.ts';
import { makeDeliverOutbox } from '../shared/operations/deliver-outbox.ts';
import { makeDrillServer } from '../shared/operations/drill-server.ts';
import { makeExportTables } from '../shared/operations/export-tables.ts';
import { makeFanOut } from '../shared/operations/fan-out.ts';
import { makeFindWrapping } from '../shared/operations/find-wrapping.ts';
import { makeFinishMove } from '../shared/operations/finish-move.ts';
import { makeFinishRotation } from '../shared/operations/finish-rotation.ts';
import { makeHoldKek } from '../shared/operations/hold-kek.ts';
import { makeHoldServer } from '../shared/operations/hold-server.ts';
import { makeListServers, makeReadServer } from '../shared/operations/list-servers.ts';
import { makeMoveServer } from '../shared/operations/move-server.ts';
import { makeObserveKek } from '../shared/operations/observe-kek.ts';
import { makePlanRewrap } from '../shared/operations/plan-rewrap.ts';
import { makeProbeKeks } from '../shared/operations/probe-keks.ts';
import { makeReadProbePeriod } from '../shared/operations/probe-period.ts';
import { makeReadAudit } from '../shared/operations/read-audit.ts';
import { makeReadImpact } from '../shared/operations/read-impact.ts';
import { makeListKeks, makeReadKek } from '../shared/operations/read-keks.ts';
import { makeReadProgress } from '../shared/operations/read-progress.ts';
import { makeReconcileKek } from '../shared/operations/reconcile-kek.ts';
import { makeRecordPoison } from '../shared/operations/record-poison.ts';
import { makeRegisterServer, makeValidateRegistration } from '../shared/operations/register-server.ts';
import { makeRejectInput } from '../shared/operations/reject-input.ts';
import { makeReleaseDek } from '../shared/operations/release-dek.ts';
import { makeRetireVersion } from '../shared/operations/retire-version.ts';
import { makeLookNow, makeRevalidateServer } from '../shared/operations/revalidate-server.ts';
import { makeRewrapDeks } from '../shared/operations/rewrap-deks.ts';
import { makeStartRewrap } from '../shared/operations/start-rewrap.ts';
import { makeSubmitHint } from '../shared/operations/submit-hint.ts';
import { makeSweepFleet } from '../shared/operations/sweep-fleet.ts';
import { makeTargetProofs } from '../shared/operations/target-proofs.ts';
import { makeLateAccess } from '../shared/postgres/late-access.ts';
import { parseSigningKey } from '../shared/signing-key.ts';
import { VERSION } from '../shared/version.ts';

const POSTGRES_SCOPE = 'https://ossrdbms-aad.database.windows.net/.default';

export type Operations = ReturnType<typeof buildOperations>;

/**
 * Builds everything; opens no connection.
 * @param readSecretSetting the value of an app setting that a server's `auth: setting` names; with `_HOSTS` after it,
 *   of the one that says which hosts it is for
 */
export function buildOperations(config: Config, readSecretSetting: (name: string) => string | undefined) {
  const clock = systemClock;
  const random = systemRandom;
  const log = makeConsoleLog(config.logLevel);
  const telemetry = makeTelemetry(clock);
  const meter = telemetry;
  const { kind, clientId } = config.credential;
  const credential = makeCredential({ kind, ...(clientId === null ? {} : { clientId }) });
  const connection: StorageConnection =
    config.storage.kind === 'connectionString'
      ? { kind: 'connectionString', value: config.storage.connectionString }
      : { ...config.storage, credential };

  const stores = makeTableStores({
    connection,
    onInvalid: (error) => log.write('error', error.message, { ...error.detail, remedy: error.remedy }),
  });
  const { keks, servers, index, outbox, audit } = stores;
  const queue = makeWorkQueue(connection, telemetry);
  const escrow = makeBlobEscrow(connection);
  const exports = makeBlobExports(connection);
  const limits = toLimits(config);
  const vault = makeKeyVault({
    credential,
    verifyChallenge: config.vault.challengeVerification,
    limits,
    clock,
    meter,
  });
  const localWrap = makeLocalWrap();
  const access = makeLateAccess({
    readSecretSetting,
    readSecretHosts: (name) => readSecretSetting(`${name}_HOSTS`),
    tokenSuffixes: config.postgresTokenSuffixes,
    getEntraToken: async () => (await credential.getToken(POSTGRES_SCOPE))?.token ?? '',
    caPem: config.postgresCaFile === null ? undefined : readFileSync(config.postgresCaFile, 'utf8'),
  });
  const topic = config.eventTopic;
  const publisher =
    topic === null
      ? null
      : makeEventPublisher({
          endpoint: topic.endpoint,
          auth: topic.key === null ? { kind: 'identity', credential } : { kind: 'key', key: topic.key },
          source: 'pg-cmk',
        });

  const { sweepSeconds, inspectGrantedSeconds, inspectRevokedSeconds, proveAfterSeconds } = config.sweep;
  const inspection = { grantedSeconds: inspectGrantedSeconds, revokedSeconds: inspectRevokedSeconds };
  const proofs = makeTargetProofs({ vault, clock });
  const findWrapping = makeFindWrapping({ servers });
  const observe = makeObserveKek({ vault, localWrap, proofs, clock, findWrapping });
  const finishRotation = makeFinishRotation({ keks, servers, clock });
  const finishMove = makeFinishMove({ keks, servers, index, escrow, queue, clock, random, log });
  const fanOut = makeFanOut({
    keks,
    servers,
    queue,
    finishRotation,
    finishMove,
    clock,
    log,
    rules: { inspection, proveAfterSeconds, unsettledSeconds: inspectRevokedSeconds },
  });
  const reconcileKek = makeReconcileKek({
    keks,
    queue,
    observe,
    fanOut,
    clock,
    log,
    meter,
    rules: config.keyRules,
  });
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
    rules: { proveAfterSeconds },
  });
  const checkRegistration = makeCheckRegistration({
    keks,
    vault,
    localWrap,
    proofs,
    access,
    clock,
    keyVaultDnsSuffixes: config.vault.dnsSuffixes,
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
    drainSeconds: config.drainSeconds,
  };
  // All instances together; of a key in an HSM, whose limits are the lower ones.
  const unwrapsPerSecond = (bytes: number) =>
    (ceilingOf(limits) * limits.maxInstances) / costOf(limitClassOf('RSA-HSM', bytes), limits);
  const costOfUnwrap = (bytes: number) => costOf(limitClassOf('RSA-HSM', bytes), limits);
  const probe = makeProbeKeks({ keks, vault, queue, clock, log, costOf: costOfUnwrap });
  const probeSeconds = longestGapSeconds(config.schedules.probe);
  const readProbePeriod = makeReadProbePeriod({ keks, costOf: costOfUnwrap });
  const detectionSeconds = async (host: string) =>
    Math.ceil(Math.max(probeSeconds, await readProbePeriod(host)));
  const signer =
    config.api === null
      ? null
      : makeStatementSigner({ key: parseSigningKey(config.api.signingKey), issuer: 'pg-cmk', clock });
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
  const soakHours = config.retireSoakHours;
  const issuerKeys =
    config.api === null
      ? null
      : makeIssuerKeys(config.api.issuer, config.api.jwksUri, { now: clock.now, log });

  return {
    stores,
    vault,
    /**
     * Has metrics and traces sent, where that is configured. Resolves to what sends the rest of them.
     * The SDK is loaded here and nowhere else.
     */
    startTelemetry: async (): Promise<() => Promise<void>> => {
      if (config.telemetry === null) return async () => undefined;
      const { connectionString, byIdentity } = config.telemetry;
      const { startAzureMonitor } = await import('../shared/azure/azure-monitor.ts');
      const sender = byIdentity ? credential : null;
      return startAzureMonitor({
        connectionString,
        credential: sender,
        version: VERSION,
        onTrouble: (problem) => log.write('warn', 'telemetry is not sent', { problem }),
      });
    },
    telemetry,
    /** Creates the tables and queues that are missing. Containers are made by whoever first needs one. */
    prepareStorage: () => Promise.all([stores.ensureTables(), queue.ensureQueues()]),
    submitHint: makeSubmitHint({ keks, queue, clock, log }),
    rejectInput: makeRejectInput({ outbox, clock, log }),
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
      rules: { inspection },
    }),
    probeKeks: probe.probeAll,
    probeKekShard: probe.probeShard,
    sweepFleet: makeSweepFleet({
      keks,
      queue,
      clock,
      meter,
      rules: {
        sweepSeconds,
        unsettledSeconds: inspectRevokedSeconds,
        everySeconds: longestGapSeconds(config.schedules.sweep),
      },
    }),
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
    recordPoisoned: makeRecordPoison({ servers, outbox, clock, log, meter }),
    registerServer: makeRegisterServer(registration),
    validateRegistration: makeValidateRegistration(registration),
    moveServer: makeMoveServer({ ...registration, log, keyVaultDnsSuffixes: config.vault.dnsSuffixes }),
    copyServer: makeCopyServer(registration),
    releaseDek: makeReleaseDek({
      keks,
      servers,
      index,
      finishMove,
      outbox,
      vault,
      sealer: makeDekSealer(),
      clock,
      log,
      rules: config.dek,
    }),
    readProgress: makeReadProgress({ keks, servers, clock }),
    changePolicy: makeChangePolicy({ keks, queue, clock }),
    planRewrap: makePlanRewrap({ keks, servers, vault, clock, unwrapsPerSecond }),
    startRewrap: makeStartRewrap({ keks, queue, observe, clock, rules: config.keyRules }),
    readImpact: makeReadImpact({ keks, servers, access, clock, detectionSeconds }),
    exports,
    exportTables: makeExportTables({
      tables: makeRawTables(connection),
      exports,
      keks,
      signer,
      clock,
      log,
      appVersion: VERSION,
    }),
    /** null: no API is configured, so there is no key to sign with. */
    signer,
    retireVersion:
      signer === null
        ? null
        : makeRetireVersion({ keks, servers, audit, signer, countDependents, clock, soakHours }),
    listServers: makeListServers({ keks, servers, index }),
    readServer: makeReadServer({ keks, servers, index }),
    readAudit: makeReadAudit({ keks, index, audit }),
    listKeks: makeListKeks({ keks, exports, log }),
    readKek: makeReadKek({ keks, exports, log }),
    clearBreaker: makeClearBreaker({ keks, outbox, queue, clock, log, rules: config.keyRules }),
    checkHealth: makeCheckHealth({
      keks,
      queues: queue,
      checkIssuer: issuerKeys === null ? null : issuerKeys.check,
      costOf: costOfUnwrap,
      clock,
      exports,
      rules: {
        probeSeconds,
        sweepSeconds,
        breakerHoldMinutes: config.keyRules.breakerHoldMinutes,
        exportSeconds: longestGapSeconds(config.schedules.export),
      },
    }),
    verifyToken: makeVerifyToken(config.api, issuerKeys, clock.now),
    log,
    clock,
  };
}

function toLimits({ vault: { share, maxInstances, limitPer10s: limit } }: Config): VaultLimits {
  if (limit === null) return { share, maxInstances };
  const perTenSeconds = {
    'RSA-2048': limit,
    'RSA-3072': limit,
    'RSA-4096': limit,
    'RSA-HSM-2048': limit,
    'RSA-HSM-3072': limit,
    'RSA-HSM-4096': limit,
  };
  return { share, maxInstances, perTenSeconds };
}
