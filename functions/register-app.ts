// Every trigger of the app, on one page (design 4).
import type { app as FunctionApp } from '@azure/functions';
import type { Config } from '../shared/config.ts';
import { parseSigningKey } from '../shared/signing-key.ts';
import { VERSION } from '../shared/version.ts';
import { makeKeyDisabledHandler } from './events/key-disabled.ts';
import { makeKeyExpiredHandler } from './events/key-expired.ts';
import { makeKeyNearExpiryHandler } from './events/key-near-expiry.ts';
import { makeKeyNewVersionCreatedHandler } from './events/key-new-version-created.ts';
import { makeKeyVaultAuditLogHandler } from './events/key-vault-audit-log.ts';
import { makeVaultAccessPolicyChangedHandler } from './events/vault-access-policy-changed.ts';
import { makeCursors } from './http/cursor.ts';
import { registerApi } from './http/register-api.ts';
import type { Operations } from './operations.ts';
import { makeApplyServerAccessHandler } from './queues/apply-server-access.ts';
import { makePoisonHandler } from './queues/poison.ts';
import { makeProbeKekShardHandler } from './queues/probe-kek-shard.ts';
import { makeReconcileKekHandler } from './queues/reconcile-kek.ts';
import { makeRewrapDeksHandler } from './queues/rewrap-deks.ts';
import { makeDeliverOutboxHandler } from './timers/deliver-outbox.ts';
import { makeExportTablesHandler } from './timers/export-tables.ts';
import { makeProbeKeksHandler } from './timers/probe-keks.ts';
import { makeSweepFleetHandler } from './timers/sweep-fleet.ts';

const connection = 'AzureWebJobsStorage';

export function registerApp(app: typeof FunctionApp, config: Config, operations: Operations): void {
  const events = { ...operations, vaultRules: { dnsSuffixes: config.vault.dnsSuffixes } };
  app.eventGrid('keyNewVersionCreated', { handler: makeKeyNewVersionCreatedHandler(events) });
  app.eventGrid('keyNearExpiry', { handler: makeKeyNearExpiryHandler(events) });
  app.eventGrid('keyExpired', { handler: makeKeyExpiredHandler(events) });
  app.eventGrid('keyDisabled', { handler: makeKeyDisabledHandler(events) });
  app.eventGrid('vaultAccessPolicyChanged', { handler: makeVaultAccessPolicyChangedHandler(events) });
  if (config.auditEventHub !== null) {
    app.eventHub('keyVaultAuditLog', {
      eventHubName: config.auditEventHub.name,
      connection: config.auditEventHub.connection,
      cardinality: 'many',
      // The hub's checkpoint moves on even when a function fails: without retries a store outage would lose hints.
      retry: {
        strategy: 'exponentialBackoff',
        maxRetryCount: 5,
        minimumInterval: { seconds: 2 },
        maximumInterval: { seconds: 60 },
      },
      handler: makeKeyVaultAuditLogHandler(events),
    });
  }

  const queue = (name: string, queueName: string, handler: ReturnType<typeof makeReconcileKekHandler>) =>
    app.storageQueue(name, { queueName, connection, handler });
  queue('reconcileKek', 'reconcile-keks', makeReconcileKekHandler(operations));
  queue('rewrapDeks', 'rewrap-deks', makeRewrapDeksHandler(operations));
  queue('applyServerAccess', 'server-access', makeApplyServerAccessHandler(operations));
  queue('probeKekShard', 'probe-keks', makeProbeKekShardHandler(operations));
  for (const [name, queueName] of [
    ['reconcileKekPoison', 'reconcile-keks'],
    ['rewrapDeksPoison', 'rewrap-deks'],
    ['applyServerAccessPoison', 'server-access'],
    ['probeKekShardPoison', 'probe-keks'],
  ] as const) {
    queue(name, `${queueName}-poison`, makePoisonHandler(name, queueName, operations));
  }

  const { probe, sweep, outbox, export: exportSchedule } = config.schedules;
  app.timer('probeKeks', { schedule: probe, handler: makeProbeKeksHandler(operations) });
  app.timer('sweepFleet', { schedule: sweep, handler: makeSweepFleetHandler(operations) });
  app.timer('deliverOutbox', { schedule: outbox, handler: makeDeliverOutboxHandler(operations) });
  app.timer('exportTables', {
    schedule: exportSchedule,
    // Its next occurrence is a day away.
    retry: { strategy: 'fixedDelay', maxRetryCount: 3, delayInterval: { minutes: 5 } },
    handler: makeExportTablesHandler(operations),
  });

  registerHttp(app, config, operations);
}

/** Every route of shared/api/routes.ts. */
function registerHttp(app: typeof FunctionApp, { api }: Config, operations: Operations): void {
  const { signer, retireVersion } = operations;
  const open = { checkHealth: operations.checkHealth, version: VERSION, now: operations.clock.now };
  const isConfigured = api !== null && signer !== null && retireVersion !== null;
  const handlers = isConfigured
    ? { ...operations, ...open, signer, retireVersion, cursors: makeCursors(parseSigningKey(api.signingKey)) }
    : null;
  registerApi(app, { open, handlers, routes: operations });
}
