// The customer's keys as the vault answers for them. Times are milliseconds on the machine's clock.
import { createHash } from 'node:crypto';
import { type KekId, kekKey } from '../../shared/domain/key-id.ts';
import type { VersionAttributes } from '../../shared/domain/key-status.ts';
import type { DeletedAnswer, VaultAnswer, VaultFault } from '../../shared/domain/vault-answer.ts';

const http = (status: number, innerCode: string | null = null): VaultFault => ({
  kind: 'http',
  status,
  code: null,
  innerCode,
  retryAfterSeconds: null,
});

/** What can be wrong with an answer without a word about the key in it. */
export const TROUBLES = {
  '429': http(429),
  '503': http(503),
  timeout: { kind: 'network', cause: 'timeout' },
  reset: { kind: 'network', cause: 'reset' },
  garbage: { kind: 'answer', what: 'not JSON' },
  'no token': { kind: 'identity' },
} as const satisfies Record<string, VaultFault>;
export type Trouble = keyof typeof TROUBLES;

export type Refusal = 'ForbiddenByRbac' | 'ForbiddenByFirewall';

interface Version {
  readonly version: string;
  attributes: VersionAttributes;
}

interface Key {
  readonly kek: KekId;
  readonly versions: Version[];
  deleted: boolean;
  refusal: Refusal | null;
  trouble: Trouble | null;
}

export interface KeyAnswer {
  readonly attributes: ReadonlyMap<string, VersionAttributes>;
  readonly newest: string;
}

/** What stands in a wrapping, and under which version it was made. */
export const toCiphertext = (version: string, plaintext: string): string => `${version}/${plaintext}`;

export class Vault {
  readonly keys: readonly Key[];
  readonly #now: () => number;
  readonly #takes503AsDisabled: boolean;
  #made = 0;

  constructor(keks: readonly KekId[], now: () => number, takes503AsDisabled: boolean) {
    this.keys = keks.map((kek) => ({ kek, versions: [], deleted: false, refusal: null, trouble: null }));
    this.#now = now;
    this.#takes503AsDisabled = takes503AsDisabled;
  }

  key(index: number): Key {
    const key = this.keys[index];
    if (key === undefined) throw new Error(`no such key: ${index}`);
    return key;
  }

  /** A key that was deleted can't be rotated. */
  rotate(index: number): string | null {
    const key = this.key(index);
    if (key.deleted) return null;
    this.#made += 1;
    const version = createHash('md5')
      .update(`${kekKey(key.kek)}|${this.#made}`)
      .digest('hex');
    const createdOn = new Date(Math.floor(this.#now() / 1000) * 1000);
    key.versions.push({
      version,
      attributes: { enabled: true, notBefore: null, expiresOn: null, createdOn },
    });
    return version;
  }

  update(index: number, version: number, change: Partial<Omit<VersionAttributes, 'createdOn'>>): void {
    const found = this.key(index).versions[version];
    if (found !== undefined) found.attributes = { ...found.attributes, ...change };
  }

  describe(kek: KekId): VaultAnswer<KeyAnswer> {
    return this.#answer(kek, (key) => {
      const newest = key.deleted ? undefined : key.versions.at(-1);
      if (newest === undefined) return http(404);
      const attributes = new Map(key.versions.map((one) => [one.version, one.attributes]));
      return { value: { attributes, newest: newest.version } };
    });
  }

  describeVersion(kek: KekId, version: string): VaultAnswer<VersionAttributes> {
    return this.#answer(kek, (key) => {
      const found = find(key, version);
      return found === undefined ? http(404) : { value: found.attributes };
    });
  }

  /** Also of an expired version. */
  unwrap(kek: KekId, version: string, ciphertext: string): VaultAnswer<string> {
    return this.#answer(kek, (key) => {
      const found = find(key, version);
      if (found === undefined) return http(404);
      if (!found.attributes.enabled) return http(403, 'KeyDisabled');
      const prefix = toCiphertext(version, '');
      return ciphertext.startsWith(prefix) ? { value: ciphertext.slice(prefix.length) } : http(400);
    });
  }

  askDeleted(kek: KekId): DeletedAnswer {
    const answer = this.#answer(kek, (key) => ({ value: key.deleted }));
    if (!answer.ok) return 'unsaid';
    return answer.value ? 'deleted' : 'absent';
  }

  #answer<T>(kek: KekId, look: (key: Key) => VaultFault | { readonly value: T }): VaultAnswer<T> {
    const key = this.keys.find((one) => one.kek.vault === kek.vault);
    if (key === undefined) throw new Error(`no such vault: ${kek.vault}`);
    const now = new Date(this.#now());
    const found = refusalOf(key) ?? look(key);
    if ('value' in found) return { ok: true, value: found.value, vaultNow: now };
    const planted = this.#takes503AsDisabled && found.kind === 'http' && found.status === 503;
    const fault = planted ? http(403, 'KeyDisabled') : found;
    return { ok: false, fault, vaultNow: fault.kind === 'http' ? now : null };
  }
}

const refusalOf = (key: Key): VaultFault | null =>
  key.trouble === null ? key.refusal && http(403, key.refusal) : TROUBLES[key.trouble];

const find = (key: Key, version: string): Version | undefined =>
  key.deleted ? undefined : key.versions.find((one) => one.version === version);
