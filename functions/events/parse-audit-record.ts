// Records of a vault's audit log, as the diagnostic setting `AuditEvent` sends them to an event hub (azure-facts.md
// 1.5), as hints.
import { parseJson } from '../../shared/domain/parse-json.ts';
import type { Hint } from '../../shared/operations/hint.ts';
import {
  describeType,
  type Fields,
  invalidEvent,
  isRecord,
  readFields,
  readInstant,
} from './event-fields.ts';
import { parseKek, parseVault, type VaultRules } from './parse-target.ts';

const KEY_OPERATIONS: ReadonlySet<string> = new Set([
  'KeyUpdate',
  'KeyDelete',
  'KeyRecover',
  'KeyPurge',
  'KeyRotate',
  'KeyCreate',
  'KeyImport',
  'KeyRestore',
]);
/** They read a vault, or repeat an event that comes by itself. */
const IDLE_VAULT_OPERATIONS: ReadonlySet<string> = new Set([
  'VaultGet',
  'VaultList',
  'VaultAccessPolicyChangedEventGridNotification',
]);

/** A record takes half a kilobyte, and a message a megabyte at most. */
const MOST_RECORDS = 5000;

const SEND_REMEDY = "Send the vault's AuditEvent log to this event hub, and nothing else.";

/** The records of one message; each message holds a batch. @throws CmkError InvalidEvent */
export function splitRecords(message: unknown): readonly unknown[] {
  const body = typeof message === 'string' ? parseJson(message) : message;
  if (body === undefined && message !== undefined) throw invalidEvent('message', 'is no JSON', SEND_REMEDY);
  const records = isRecord(body) ? body['records'] : undefined;
  if (Array.isArray(records) && records.length > MOST_RECORDS)
    throw invalidEvent('records', `are more than ${MOST_RECORDS}`, SEND_REMEDY);
  if (Array.isArray(records)) return records;
  throw invalidEvent('records', `${describeType(records)}, not an array`, SEND_REMEDY);
}

/**
 * Which KEK or vault to look at because of one record, and who did it. `ignored` for what changes nothing, which is
 * most: reads, the app's own unwraps, and what the vault refused to do.
 * @throws CmkError InvalidEvent; its `detail.path` says where
 */
export function parseAuditRecord(record: unknown, rules: VaultRules): Hint | 'ignored' {
  if (!isRecord(record)) throw invalidEvent('record', `${describeType(record)}, not an object`, SEND_REMEDY);
  const fields = readFields(record, 'record');
  const category = fields.text('category');
  if (category !== null && category !== 'AuditEvent') return 'ignored';
  const operation = fields.text('operationName');
  if (operation === null) throw invalidEvent('record.operationName', 'is missing', SEND_REMEDY);
  const isVault = operation.startsWith('Vault') && !IDLE_VAULT_OPERATIONS.has(operation);
  if (!isVault && !KEY_OPERATIONS.has(operation)) return 'ignored';
  const properties = record['properties'];
  if (!isRecord(properties))
    throw invalidEvent('record.properties', `${describeType(properties)}, not an object`, SEND_REMEDY);
  // `resultType` says Success on refusals too.
  const status = toStatus(properties['httpStatusCode']);
  if (status >= 400 && status < 500) return 'ignored';
  const named = readFields(properties, 'record.properties').text('id');
  const cause = {
    kind: 'auditLog',
    id: readRecordId(record) ?? operation,
    operation,
    by: readActor(record),
  } as const;
  const at = readInstant(record, 'time');
  if (isVault) return { target: { kind: 'vault', vault: parseRecordVault(named, fields, rules) }, cause, at };
  const naming = { path: 'record.properties.id', id: named, vaultName: null, objectName: null };
  return { target: { kind: 'kek', kek: parseKek(naming, rules) }, cause, at };
}

/** The log has a number or its text. Of anything else no number could be made, and for some that is an error. */
const toStatus = (value: unknown): number =>
  typeof value === 'number' || typeof value === 'string' ? Number(value) : Number.NaN;

/** Operations on a vault name it by its URL, or by nothing but the resource that the record belongs to. */
function parseRecordVault(named: string | null, fields: Fields, rules: VaultRules): string {
  const id = named ?? fields.text('resourceId');
  return parseVault(
    { path: named === null ? 'record.resourceId' : 'record.properties.id', id, vaultName: null },
    rules,
  );
}

/** Records have no id of their own; the correlation id is the client's call. */
export const readRecordId = (record: unknown): string | null =>
  readText(record, 'correlationId') ?? readText(record, 'time');

const CLAIMS = 'http://schemas.xmlsoap.org/ws/2005/05/identity/claims';
const ACTOR_CLAIMS = [
  'upn',
  `${CLAIMS}/upn`,
  'unique_name',
  `${CLAIMS}/name`,
  'name',
  'http://schemas.microsoft.com/identity/claims/objectidentifier',
  'oid',
  'appid',
];

/** Who did it: a person's name where the log has one, else the object or application id; null where it has neither. */
function readActor(record: Readonly<Record<string, unknown>>): string | null {
  const identity = record['identity'];
  const claim = isRecord(identity) ? identity['claim'] : undefined;
  return ACTOR_CLAIMS.reduce<string | null>((found, name) => found ?? readText(claim, name), null);
}

function readText(record: unknown, name: string): string | null {
  const value = isRecord(record) ? record[name] : undefined;
  return typeof value === 'string' ? value.trim().slice(0, 256) || null : null;
}
