// Reading keys: versions, attributes, public halves, and whether a key is deleted.
import { createPublicKey } from 'node:crypto';
import type { KeyClient, KeyVaultKey } from '@azure/keyvault-keys';
import { toInstantInRange } from '../../domain/instant.ts';
import { type KekId, parseVersion } from '../../domain/key-id.ts';
import type { VersionAttributes } from '../../domain/key-status.ts';
import type { DeletedAnswer, VaultAnswer } from '../../domain/vault-answer.ts';
import type { KeyDescription, Recovery, VersionDescription } from '../../ports/key-vault.ts';
import { type AskOptions, askVault, assertSameKey } from './ask-vault.ts';
import { UnexpectedAnswer } from './vault-fault.ts';

type Described = KeyDescription['versions'][number];

interface ReadProperties {
  readonly recoveryLevel?: string | undefined;
  readonly recoverableDays?: number | undefined;
  readonly enabled?: boolean;
  readonly notBefore?: Date;
  readonly expiresOn?: Date;
  readonly createdOn?: Date;
  readonly updatedOn?: Date;
}

/**
 * The versions of a key. Creation times are whole seconds: where two are newest, the vault says which one it uses.
 */
export async function describeKey(
  reader: KeyClient,
  kek: KekId,
  options: AskOptions,
): Promise<VaultAnswer<KeyDescription>> {
  const listed = await askVault(options, async (callOptions) => {
    const versions: Described[] = [];
    for await (const properties of reader.listPropertiesOfKeyVersions(kek.name, callOptions)) {
      versions.push(toDescribed(assertSameKey(properties.id, kek), properties));
    }
    return versions;
  });
  if (!listed.ok) return listed;
  const candidates = findNewest(listed.value);
  const [first, ...others] = candidates;
  if (first !== undefined && others.length === 0) {
    return { ...listed, value: { versions: listed.value, newest: first.version } };
  }
  const latest = await askVault(options, async (callOptions): Promise<Described> => {
    const key = await reader.getKey(kek.name, callOptions);
    return toDescribed(assertSameKey(key.id, kek), key.properties);
  });
  if (first === undefined) {
    return latest.ok
      ? { ...latest, value: { versions: [latest.value], newest: latest.value.version } }
      : latest;
  }
  return { ...listed, value: breakTie(listed.value, candidates, latest) };
}

function findNewest(versions: readonly Described[]): readonly Described[] {
  const created = (described: Described) => described.attributes.createdOn.getTime();
  const newest = Math.max(...versions.map(created));
  return versions.filter((described) => created(described) === newest);
}

/** What isn't said is settled the same way each time: by the version that can't be read, else by its name. */
function breakTie(
  versions: readonly Described[],
  candidates: readonly Described[],
  latest: VaultAnswer<Described>,
): KeyDescription {
  if (latest.ok) {
    const { version } = latest.value;
    const isListed = versions.some((described) => described.version === version);
    return { versions: isListed ? versions : [...versions, latest.value], newest: version };
  }
  // A vault that refuses to show its latest version because it is disabled still says which one it is.
  const disabled = candidates.filter((described) => !described.attributes.enabled);
  const hidden = latest.fault.kind === 'http' && latest.fault.innerCode === 'KeyDisabled' ? disabled : [];
  const names = (hidden.length > 0 ? hidden : candidates).map((described) => described.version).toSorted();
  return { versions, newest: names.at(-1) ?? '' };
}

/** One version, with its public half. */
export function describeKeyVersion(
  reader: KeyClient,
  kek: KekId,
  version: string,
  options: AskOptions,
): Promise<VaultAnswer<VersionDescription>> {
  // Invariant I-09: a call that uses a key names a concrete version, never "the latest".
  const concrete = parseVersion(version);
  return askVault(options, async (callOptions) => {
    const key = await reader.getKey(kek.name, { ...callOptions, version: concrete });
    assertSameKey(key.id, kek, concrete);
    return {
      attributes: toAttributes(key.properties),
      recovery: toRecovery(key.properties),
      ...toPublicHalf(key),
      operations: key.keyOperations ?? [],
    };
  });
}

/** Whether the vault holds the key as deleted. */
export async function askDeletedKey(
  reader: KeyClient,
  kek: KekId,
  options: AskOptions,
): Promise<DeletedAnswer> {
  const answer = await askVault(options, async (callOptions) => {
    const key = await reader.getDeletedKey(kek.name, callOptions);
    assertSameKey(key.id, kek);
  });
  if (answer.ok) return 'deleted';
  return answer.fault.kind === 'http' && answer.fault.status === 404 ? 'absent' : 'unsaid';
}

function toDescribed(version: string, properties: ReadProperties): Described {
  const { updatedOn = null } = properties;
  // Only measured by: a vault that doesn't say it is as good a vault.
  const isDate = updatedOn !== null && !Number.isNaN(updatedOn.getTime());
  return { version, attributes: toAttributes(properties), updatedOn: isDate ? updatedOn : null };
}

function toAttributes(properties: ReadProperties): VersionAttributes {
  const { enabled, createdOn } = properties;
  if (enabled === undefined) throw new UnexpectedAnswer('a version without `enabled`');
  if (createdOn === undefined) throw new UnexpectedAnswer('a version without a creation time');
  const held = (date: Date | undefined) => (date === undefined ? null : toInstantInRange(date));
  const dates = {
    createdOn: toInstantInRange(createdOn),
    notBefore: held(properties.notBefore),
    expiresOn: held(properties.expiresOn),
  };
  if (Object.values(dates).some((date) => date !== null && Number.isNaN(date.getTime()))) {
    throw new UnexpectedAnswer('a version with a date that is none');
  }
  return { enabled, ...dates };
}

/** What the recovery level of a key says of its vault; a level that isn't known promises nothing. */
function toRecovery({ recoveryLevel = '', recoverableDays }: ReadProperties): Recovery {
  const level = recoveryLevel.toLowerCase();
  return {
    recoverable: level.includes('recoverable'),
    purgeProtected: level.includes('recoverable') && !level.includes('purgeable'),
    days: recoverableDays ?? null,
  };
}

const SIZES: readonly number[] = [2048, 3072, 4096];

/** A key that nothing can be wrapped under is described too, so that it can be said what is wrong with it. */
function toPublicHalf({
  keyType,
  key,
}: KeyVaultKey): Pick<VersionDescription, 'keyType' | 'bits' | 'publicKey'> {
  if (keyType === undefined) throw new UnexpectedAnswer('a key without a type');
  if (keyType !== 'RSA' && keyType !== 'RSA-HSM') return { keyType, bits: null, publicKey: null };
  if (key?.n === undefined || key.e === undefined) throw new UnexpectedAnswer('an RSA key without n and e');
  const imported = createPublicKey({
    key: { kty: 'RSA', n: toBase64Url(key.n), e: toBase64Url(key.e) },
    format: 'jwk',
  });
  const bits = imported.asymmetricKeyDetails?.modulusLength ?? 0;
  if (!SIZES.includes(bits)) return { keyType, bits, publicKey: null };
  return {
    keyType,
    bits,
    publicKey: { keyType, bits, spki: imported.export({ format: 'der', type: 'spki' }) },
  };
}

const toBase64Url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
