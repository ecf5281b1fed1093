// What is delivered to the app: events, audit records of vaults, queue messages.

import { isRecord } from '../../../functions/events/event-fields.ts';
import {
  parseAuditRecord,
  readRecordId,
  splitRecords,
} from '../../../functions/events/parse-audit-record.ts';
import {
  KEY_EVENT_TYPES,
  parseKeyEvent,
  readEventId,
  splitEvents,
  VAULT_EVENT_TYPE,
} from '../../../functions/events/parse-key-event.ts';
import {
  parseProbeMessage,
  parseRangeMessage,
  parseReconcileMessage,
} from '../../../functions/queues/parse-message.ts';
import { readInsertedAt, readMessageId } from '../../../functions/queues/take-message.ts';
import { isCmkError } from '../../../shared/domain/errors.ts';
import { readFixture } from '../../fixtures/events/read-fixture.ts';
import { jsonTarget, QUEUE_MESSAGE, type Target, valueTarget } from '../target.ts';

const rules = { dnsSuffixes: ['vault.azure.net', 'localhost'] };

const keyEvents = [
  'expired-as-cloud-event',
  'expired-in-camel-case',
  'key-status-hint',
  'near-expiry-as-in-the-docs',
  'new-version-created',
  'secret-near-expiry',
].map(readFixture);

const kek = { vault: 'v1.vault.azure.net', name: 'k1' };
const causes = [
  { kind: 'event', id: 'e', type: 'Microsoft.KeyVault.KeyExpired' },
  { kind: 'auditLog', id: 'r', operation: 'KeyUpdate', by: null },
  { kind: 'operator', by: 'anna' },
  { kind: 'followUp', of: 'rotation' },
  { kind: 'sweep' },
];
const range = { kek, epoch: 7, from: 'db-1', to: 'db-98', attempt: null, cause: causes[0] };

/** As a handler does: one bad record spoils nothing. */
function parseLog(message: unknown): unknown {
  return splitRecords(message).map((record) => {
    readRecordId(record);
    try {
      return parseAuditRecord(record, rules);
    } catch (error) {
      if (isCmkError(error, 'InvalidEvent')) return null;
      throw error;
    }
  });
}

export const eventTargets: readonly Target[] = [
  valueTarget({
    name: 'Event Grid events about keys',
    codes: ['InvalidEvent'],
    examples: [...keyEvents, [readFixture('expired-in-camel-case')]],
    parse: (input) =>
      splitEvents(input).map((event) => {
        readEventId(event);
        return parseKeyEvent(event, KEY_EVENT_TYPES[0], rules);
      }),
  }),
  valueTarget({
    name: 'Event Grid events about vaults',
    codes: ['InvalidEvent'],
    examples: [readFixture('access-policy-changed')],
    parse: (input) => splitEvents(input).map((event) => parseKeyEvent(event, VAULT_EVENT_TYPE, rules)),
  }),
  valueTarget({
    name: 'audit records of vaults',
    codes: ['InvalidEvent'],
    examples: [readFixture('audit-log')],
    parse: parseLog,
  }),
  jsonTarget({
    name: 'audit records of vaults, as text',
    codes: ['InvalidEvent'],
    examples: [JSON.stringify(readFixture('audit-log'))],
    parse: parseLog,
  }),
  valueTarget({
    name: 'queue messages: reconcile-keks',
    codes: ['InvalidMessage'],
    most: QUEUE_MESSAGE,
    examples: causes.map((cause) => ({ kek, cause })),
    parse: parseReconcileMessage,
  }),
  valueTarget({
    name: 'queue messages: rewrap-deks, server-access',
    codes: ['InvalidMessage'],
    most: QUEUE_MESSAGE,
    examples: [range, { ...range, to: 'db-1', attempt: 3, cause: causes[4] }],
    parse: parseRangeMessage,
  }),
  valueTarget({
    name: 'queue messages: probe-keks',
    codes: ['InvalidMessage'],
    most: QUEUE_MESSAGE,
    examples: [{ keks: [kek, { vault: 'localhost:8443', name: 'k2' }] }],
    parse: parseProbeMessage,
  }),
  valueTarget({
    name: 'queue metadata',
    codes: [],
    examples: [{ id: 'm', insertionTime: '"2026-11-24T12:00:00+00:00"' }, { Id: 'm' }, {}],
    parse: (input) => {
      const context = { triggerMetadata: isRecord(input) ? input : {} };
      return [readMessageId(context), readInsertedAt(context)];
    },
  }),
];
