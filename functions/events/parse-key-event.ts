// Event Grid events, in its own schema or as CloudEvents 1.0 (azure-facts.md 1.3), as hints. Read is only what a hint
// needs: NBF, EXP and whatever else an event claims is asked of the vault.
import * as z from 'zod';
import type { Hint } from '../../shared/operations/hint.ts';
import {
  describeType,
  excerpt,
  type Fields,
  invalidEvent,
  isRecord,
  readFields,
  readInstant,
} from './event-fields.ts';
import { parseKek, parseVault, type VaultRules } from './parse-target.ts';

export const KEY_EVENT_TYPES = [
  'Microsoft.KeyVault.KeyNewVersionCreated',
  'Microsoft.KeyVault.KeyNearExpiry',
  'Microsoft.KeyVault.KeyExpired',
  'PgCmk.KeyStatusHint',
] as const;
export const VAULT_EVENT_TYPE = 'Microsoft.KeyVault.VaultAccessPolicyChanged';
export type EventType = (typeof KEY_EVENT_TYPES)[number] | typeof VAULT_EVENT_TYPE;

/** The most that Event Grid delivers at once. */
const MOST_EVENTS = 5000;

const OTHER_OBJECTS =
  /^Microsoft\.KeyVault\.(?:Secret|Certificate)(?:NewVersionCreated|NearExpiry|Expired)$/i;

const text = z.string().trim().min(1);
const eventId = text.max(256);
const eventGridEvent = z
  .object({ id: eventId, eventType: text })
  .transform(({ id, eventType }) => ({ id, type: eventType, typePath: 'eventType' }));
const cloudEvent = z
  .object({ specversion: z.literal('1.0'), id: eventId, type: text })
  .transform(({ id, type }) => ({ id, type, typePath: 'type' }));

/** One delivery as single events: a host hands over one, some senders an array. @throws CmkError InvalidEvent */
export function splitEvents(input: unknown): readonly unknown[] {
  if (!Array.isArray(input)) return [input];
  if (input.length > MOST_EVENTS)
    throw invalidEvent('event', `is one of more than ${MOST_EVENTS}`, 'Send fewer events at once.');
  if (input.length > 0) return input;
  throw invalidEvent('event', 'is an empty array', 'Send one event, or an array with at least one.');
}

/** The id of an event that may not be one. */
export const readEventId = (event: unknown): string | null =>
  isRecord(event) && typeof event['id'] === 'string' ? event['id'].trim().slice(0, 256) || null : null;

/**
 * Which KEK or vault to look at because of one event; `ignored` for secrets and certificates.
 * @param ownType the type that the function is for. Other types about keys are taken too, since an event is only a
 *   hint; one about a whole vault, which costs a look at each of its KEKs, only by the function that is for it.
 * @throws CmkError InvalidEvent; its `detail.path` says where
 */
export function parseKeyEvent(event: unknown, ownType: EventType, rules: VaultRules): Hint | 'ignored' {
  const { id, type: givenType, typePath } = parseEnvelope(event);
  if (OTHER_OBJECTS.test(givenType)) return 'ignored';
  const accepted: readonly EventType[] = [...KEY_EVENT_TYPES, ownType];
  const type = accepted.find((known) => known.toLowerCase() === givenType.toLowerCase());
  if (type === undefined)
    throw invalidEvent(
      typePath,
      `is ${excerpt(givenType)}, not ${ownType}`,
      `Filter the subscription to included event types: ${ownType}.`,
    );
  const data = parseData(event);
  const cause = { kind: 'event', id, type } as const;
  const at = readInstant(event, 'eventTime') ?? readInstant(event, 'time');
  if (type === VAULT_EVENT_TYPE) {
    const vault = parseVault(naming(data, 'Id'), rules);
    return { target: { kind: 'vault', vault }, cause, at };
  }
  const objectType = data.text('ObjectType');
  if (objectType !== null && objectType.toLowerCase() !== 'key') return 'ignored';
  const kek = parseKek(naming(data, type === 'PgCmk.KeyStatusHint' ? 'keyId' : 'Id'), rules);
  return { target: { kind: 'kek', kek }, cause, at };
}

const naming = (data: Fields, idName: string) => ({
  path: `data.${idName}`,
  id: data.text(idName),
  vaultName: data.text('VaultName'),
  objectName: data.text('ObjectName'),
});

function parseData(event: unknown): Fields {
  const data = isRecord(event) ? event['data'] : undefined;
  if (isRecord(data)) return readFields(data, 'data');
  throw invalidEvent(
    'data',
    `${describeType(data)}, not an object`,
    'Send the data of the event as a JSON object.',
  );
}

function parseEnvelope(event: unknown): z.infer<typeof eventGridEvent> {
  if (!isRecord(event))
    throw invalidEvent('event', `${describeType(event)}, not an object`, 'Send the event as a JSON object.');
  const isCloudEvent = event['specversion'] !== undefined;
  const parsed = (isCloudEvent ? cloudEvent : eventGridEvent).safeParse(event);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalidEvent(
    issue?.path.join('.') ?? 'event',
    `is wrong: ${issue?.message}`,
    isCloudEvent ? 'Send specversion 1.0, id and type.' : 'Send id and eventType, or a CloudEvent 1.0.',
  );
}
