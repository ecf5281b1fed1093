// A Key Vault in memory that behaves as azure-facts 3.5 says: versions, dates, soft delete, rights, outages.
// Wrapping is a toy: reversible, bound to its version, no cryptography. Time stands still unless the clock moves.
import { createHash } from 'node:crypto';
import { type KekId, kekKey, keyUrl, parseVersion } from '../../shared/domain/key-id.ts';
import type { VersionAttributes } from '../../shared/domain/key-status.ts';
import type { DeletedAnswer, VaultAnswer, VaultFault } from '../../shared/domain/vault-answer.ts';
import type {
  KeyDescription,
  KeyVault,
  LocalWrap,
  PublicKey,
  Recovery,
  UnwrapUse,
  VersionDescription,
} from '../../shared/ports/key-vault.ts';
import type { Clock } from '../../shared/ports/runtime.ts';

export type VaultCallKind = 'describe' | 'describeVersion' | 'askDeleted' | 'unwrap';

export interface VaultCall {
  readonly kind: VaultCallKind;
  readonly kek: KekId;
  readonly version: string | null;
  readonly use: UnwrapUse | null;
}

/** Runs before the vault looks at a call; a fault becomes the answer, null lets the call through. */
export type VaultHook = (call: VaultCall) => VaultFault | null | Promise<VaultFault | null>;

export interface NewVersion {
  readonly enabled?: boolean;
  readonly notBefore?: Date | null;
  readonly expiresOn?: Date | null;
  readonly createdOn?: Date;
  /** Of another type or size than what can be wrapped under it has no public half to wrap with. */
  readonly keyType?: string;
  readonly bits?: number;
  readonly operations?: readonly string[];
}

/** How a whole vault behaves. */
export interface VaultCondition {
  /** Every call answers this: an outage, no DNS, no identity. */
  readonly outage: VaultFault | null;
  /** The inner code of a 403 on every call: ForbiddenByRbac, ForbiddenByFirewall and the like. */
  readonly forbidden: string | null;
  /** So many calls to come answer 429. */
  readonly throttledCalls: number;
  readonly retryAfterSeconds: number | null;
  /** Whether GET of a disabled version answers 403 KeyDisabled; Azure isn't documented to do either. */
  readonly hidesDisabled: boolean;
  readonly recovery: Recovery;
}

const WELL: VaultCondition = {
  outage: null,
  forbidden: null,
  throttledCalls: 0,
  retryAfterSeconds: null,
  hidesDisabled: false,
  recovery: { recoverable: true, purgeProtected: true, days: 90 },
};

interface StoredVersion {
  readonly version: string;
  attributes: VersionAttributes;
  updatedOn: Date;
  operations: readonly string[];
  readonly keyType: string;
  readonly bits: number | null;
  readonly spki: Uint8Array;
  corrupt: boolean;
}

interface StoredKey {
  readonly versions: StoredVersion[];
  deleted: boolean;
}

const TOY = 'toy1';
const OPERATIONS = ['wrapKey', 'unwrapKey'];

/** A fault as Key Vault would answer it. */
export const httpFault = (
  status: number,
  code: string | null,
  innerCode: string | null = null,
  retryAfterSeconds: number | null = null,
): VaultFault => ({ kind: 'http', status, code, innerCode, retryAfterSeconds });

export class FakeKeyVault implements KeyVault, LocalWrap {
  readonly calls: VaultCall[] = [];
  /** Wrappings made on this machine so far. */
  wraps = 0;
  hook: VaultHook | null = null;
  /** Whether it doesn't say when a version was last changed. */
  hidesUpdates = false;
  /** The vault's clock minus ours. */
  skewMs = 0;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #keys = new Map<string, StoredKey>();
  readonly #vaults = new Map<string, VaultCondition>();
  #made = 0;

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  // What the customer does.

  /** A new version of a key, and the key itself where there is none: create and rotate. Returns the version. */
  createVersion(kek: KekId, options: NewVersion = {}): string {
    const key = this.#keys.get(kekKey(kek)) ?? { versions: [], deleted: false };
    if (key.deleted) throw new Error('ObjectIsDeletedButRecoverable');
    this.#keys.set(kekKey(kek), key);
    this.#made += 1;
    const version = createHash('md5')
      .update(`${kekKey(kek)}|${this.#made}`)
      .digest('hex');
    key.versions.push({
      version,
      attributes: {
        enabled: options.enabled ?? true,
        notBefore: options.notBefore ?? null,
        expiresOn: options.expiresOn ?? null,
        createdOn: options.createdOn ?? this.#second(),
      },
      updatedOn: options.createdOn ?? this.#second(),
      operations: options.operations ?? OPERATIONS,
      keyType: options.keyType ?? 'RSA',
      bits: (options.keyType ?? 'RSA').startsWith('RSA') ? (options.bits ?? 2048) : null,
      spki: new TextEncoder().encode(keyUrl(kek, version)),
      corrupt: false,
    });
    return version;
  }

  update(kek: KekId, version: string, change: Partial<Omit<VersionAttributes, 'createdOn'>>): void {
    const stored = this.#stored(kek, version);
    stored.attributes = { ...stored.attributes, ...change };
    stored.updatedOn = this.#second();
  }

  setOperations(kek: KekId, version: string, operations: readonly string[]): void {
    this.#stored(kek, version).operations = operations;
  }

  /** From now on this version unwraps to other bytes. */
  corrupt(kek: KekId, version: string, corrupt = true): void {
    this.#stored(kek, version).corrupt = corrupt;
  }

  /** Soft-deletes. */
  deleteKey(kek: KekId): void {
    this.#key(kek).deleted = true;
  }

  recoverKey(kek: KekId): void {
    this.#key(kek).deleted = false;
  }

  purgeKey(kek: KekId): void {
    this.#keys.delete(kekKey(kek));
  }

  setVault(vault: string, change: Partial<VaultCondition>): void {
    this.#vaults.set(vault, { ...this.#condition(vault), ...change });
  }

  /** Ends whatever `setVault` began. */
  healVault(vault: string): void {
    this.#vaults.delete(vault);
  }

  /** What is in a ciphertext, whatever has become of its key; null: nothing that was wrapped under that version. */
  lookInto(kek: KekId, version: string, ciphertext: string): Uint8Array | null {
    const stored = this.#keys.get(kekKey(kek))?.versions.find((one) => one.version === version);
    return stored === undefined ? null : toyUnwrap(stored.spki, ciphertext);
  }

  count(kind: VaultCallKind): number {
    return this.calls.filter((call) => call.kind === kind).length;
  }

  // The ports.

  describe(kek: KekId): Promise<VaultAnswer<KeyDescription>> {
    return this.#answer({ kind: 'describe', kek, version: null, use: null }, () => {
      const key = this.#keys.get(kekKey(kek));
      const [first, ...rest] = key === undefined || key.deleted ? [] : key.versions;
      if (first === undefined) return httpFault(404, 'KeyNotFound');
      const newest = rest.reduce(
        (a, b) => (b.attributes.createdOn.getTime() >= a.attributes.createdOn.getTime() ? b : a),
        first,
      );
      return {
        value: {
          versions: [first, ...rest].map(({ version, attributes, updatedOn }) => ({
            version,
            attributes,
            updatedOn: this.hidesUpdates ? null : updatedOn,
          })),
          newest: newest.version,
        },
      };
    });
  }

  describeVersion(kek: KekId, version: string): Promise<VaultAnswer<VersionDescription>> {
    return this.#answer({ kind: 'describeVersion', kek, version: parseVersion(version), use: null }, () => {
      const stored = this.#find(kek, version);
      if (stored === undefined) return httpFault(404, 'KeyNotFound');
      if (!stored.attributes.enabled && this.#condition(kek.vault).hidesDisabled) {
        return httpFault(403, 'Forbidden', 'KeyDisabled');
      }
      const { attributes, operations, keyType, bits } = stored;
      const { recovery } = this.#condition(kek.vault);
      return { value: { attributes, recovery, operations, keyType, bits, publicKey: toPublicKey(stored) } };
    });
  }

  async askDeleted(kek: KekId): Promise<DeletedAnswer> {
    const answer = await this.#answer({ kind: 'askDeleted', kek, version: null, use: null }, () => {
      return { value: this.#keys.get(kekKey(kek))?.deleted === true };
    });
    if (!answer.ok) return 'unsaid';
    return answer.value ? 'deleted' : 'absent';
  }

  unwrap(kek: KekId, version: string, ciphertext: string, use: UnwrapUse): Promise<VaultAnswer<Uint8Array>> {
    return this.#answer<Uint8Array>({ kind: 'unwrap', kek, version: parseVersion(version), use }, () => {
      const stored = this.#find(kek, version);
      if (stored === undefined) return httpFault(404, 'KeyNotFound');
      // Dates are not looked at: Key Vault unwraps under an expired version.
      if (!stored.attributes.enabled) return httpFault(403, 'Forbidden', 'KeyDisabled');
      if (!stored.operations.includes('unwrapKey')) {
        return httpFault(403, 'Forbidden', 'KeyOperationForbidden');
      }
      const plaintext = toyUnwrap(stored.spki, ciphertext);
      if (plaintext === null) return httpFault(400, 'BadParameter');
      return { value: stored.corrupt ? plaintext.map((byte) => byte ^ 0xff) : plaintext };
    });
  }

  async wrap(publicKey: PublicKey, plaintext: Uint8Array): Promise<string> {
    this.wraps += 1;
    return toyWrap(publicKey.spki, plaintext, this.wraps);
  }

  async #answer<T>(call: VaultCall, look: () => VaultFault | { value: T }): Promise<VaultAnswer<T>> {
    this.calls.push(call);
    const fault = (await this.hook?.(call)) ?? this.#refusal(call.kek.vault);
    const found = fault ?? look();
    if ('value' in found) return { ok: true, value: found.value, vaultNow: this.#now() };
    return { ok: false, fault: found, vaultNow: found.kind === 'http' ? this.#now() : null };
  }

  #refusal(vault: string): VaultFault | null {
    const condition = this.#condition(vault);
    if (condition.outage !== null) return condition.outage;
    if (condition.throttledCalls > 0) {
      this.setVault(vault, { throttledCalls: condition.throttledCalls - 1 });
      return httpFault(429, 'Throttled', null, condition.retryAfterSeconds);
    }
    return condition.forbidden === null ? null : httpFault(403, 'Forbidden', condition.forbidden);
  }

  #now(): Date {
    return new Date(this.#clock.now().getTime() + this.skewMs);
  }

  /** As the vault tells times. */
  #second(): Date {
    return new Date(Math.floor(this.#now().getTime() / 1000) * 1000);
  }

  #condition(vault: string): VaultCondition {
    return this.#vaults.get(vault) ?? WELL;
  }

  #find(kek: KekId, version: string): StoredVersion | undefined {
    const key = this.#keys.get(kekKey(kek));
    return key?.deleted === false ? key.versions.find((stored) => stored.version === version) : undefined;
  }

  #key(kek: KekId): StoredKey {
    const key = this.#keys.get(kekKey(kek));
    if (key === undefined) throw new Error(`no such key: ${kekKey(kek)}`);
    return key;
  }

  #stored(kek: KekId, version: string): StoredVersion {
    const stored = this.#key(kek).versions.find((candidate) => candidate.version === version);
    if (stored === undefined) throw new Error(`no such version: ${version}`);
    return stored;
  }
}

function toPublicKey({ keyType, bits, spki }: StoredVersion): PublicKey | null {
  const isRsa = keyType === 'RSA' || keyType === 'RSA-HSM';
  return isRsa && bits !== null && [2048, 3072, 4096].includes(bits) ? { keyType, bits, spki } : null;
}

const keystream = (spki: Uint8Array, nonce: string, length: number): Uint8Array => {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, block) =>
    createHash('sha256').update(spki).update(`|${nonce}|${block}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
};

const checksum = (spki: Uint8Array, nonce: string, body: Uint8Array): string =>
  createHash('sha256').update(spki).update(nonce).update(body).digest('hex').slice(0, 16);

function toyWrap(spki: Uint8Array, plaintext: Uint8Array, counter: number): string {
  // So long that the whole is as long as a real ciphertext, which the API's schemas insist on.
  const nonce = String(counter).padStart(200, '0');
  const stream = keystream(spki, nonce, plaintext.length);
  const body = plaintext.map((byte, index) => byte ^ (stream[index] ?? 0));
  const text = [TOY, nonce, checksum(spki, nonce, body), Buffer.from(body).toString('base64url')].join('.');
  return Buffer.from(text).toString('base64url');
}

function toyUnwrap(spki: Uint8Array, ciphertext: string): Uint8Array | null {
  const [toy, nonce = '', sum = '', encoded = ''] = Buffer.from(ciphertext, 'base64url')
    .toString()
    .split('.');
  const body = Uint8Array.from(Buffer.from(encoded, 'base64url'));
  if (toy !== TOY || sum !== checksum(spki, nonce, body)) return null;
  const stream = keystream(spki, nonce, body.length);
  return body.map((byte, index) => byte ^ (stream[index] ?? 0));
}
