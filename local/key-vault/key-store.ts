// The keys of one vault: what exists, what may be done with it, what happened to it. No I/O, no clock of its own.
import { randomBytes } from 'node:crypto';
import type { KeyMaterial } from './key-material.ts';
import {
  DEFAULT_KEY_OPS,
  type KeyRecord,
  type KeyState,
  type KeyType,
  type KeyVersion,
  type RecoveryLevel,
  type RotationPolicy,
  toRecoveryLevel,
} from './key-record.ts';
import { conflict, deletedKeyNotFound, keyNotFound, VaultError } from './vault-error.ts';

export interface NewVersion {
  readonly kty: KeyType;
  readonly material: KeyMaterial;
  readonly keyOps?: readonly string[] | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
  readonly enabled?: boolean | undefined;
  readonly nbf?: number | null | undefined;
  readonly exp?: number | null | undefined;
}

export type VersionChange = Pick<NewVersion, 'keyOps' | 'tags' | 'enabled' | 'nbf' | 'exp'>;

export interface KeyStoreOptions {
  readonly retentionDays: number;
  readonly purgeProtection: boolean;
  /** Milliseconds; may jump either way. */
  now(): number;
  settlingMs(): number;
  onNewVersion(key: KeyVersion): void;
}

export interface KeyStore {
  readonly recovery: RecoveryLevel;
  /** Throws 409 where the name is taken by a deleted key, or is not settled. */
  assertCreatable(name: string): void;
  add(name: string, spec: NewVersion): KeyVersion;
  /** Puts back a whole key, from a backup; raises no event. */
  restore(record: Pick<KeyRecord, 'name' | 'versions' | 'policy'>): KeyVersion;
  /** Every key that is neither deleted nor purged, by name. */
  list(): readonly KeyRecord[];
  listDeleted(): readonly KeyRecord[];
  /** Whatever stands under the name, deleted or not. */
  find(name: string): KeyRecord | undefined;
  /** Throws 404 KeyNotFound. */
  get(name: string): KeyRecord;
  getVersion(name: string, version: string): KeyVersion;
  getDeleted(name: string): KeyRecord;
  update(name: string, version: string, change: VersionChange): KeyVersion;
  markRaised(key: KeyVersion, raised: Partial<Pick<KeyVersion, 'nearExpiryRaised' | 'expiredRaised'>>): void;
  setPolicy(name: string, policy: RotationPolicy | null): KeyRecord;
  remove(name: string): KeyRecord;
  recover(name: string): KeyRecord;
  purge(name: string): void;
}

export function currentVersion(record: KeyRecord): KeyVersion {
  const current = record.versions.at(-1);
  if (current === undefined) throw keyNotFound(record.name);
  return current;
}

export function makeKeyStore(options: KeyStoreOptions): KeyStore {
  // Names are unique without regard to case.
  const records = new Map<string, KeyRecord>();
  const recovery = toRecoveryLevel(options.retentionDays, options.purgeProtection);
  const seconds = () => Math.floor(options.now() / 1000);
  const isSettling = (record: KeyRecord) => options.now() < record.settlesAtMs;

  const isGone = (record: KeyRecord) =>
    record.state.kind === 'deleted'
      ? seconds() >= record.state.purgeAt
      : isPurged(record) && !isSettling(record);

  const find = (name: string): KeyRecord | undefined => {
    const id = name.toLowerCase();
    const record = records.get(id);
    if (record === undefined || !isGone(record)) return record;
    records.delete(id);
    return undefined;
  };
  const put = (record: KeyRecord): KeyRecord => {
    records.set(record.name.toLowerCase(), record);
    return record;
  };
  const move = (record: KeyRecord, state: KeyState): KeyRecord => {
    const settlingMs = options.settlingMs();
    // 0 is settled for good, also when the clock is put back.
    return put({ ...record, state, settlesAtMs: settlingMs === 0 ? 0 : options.now() + settlingMs });
  };
  const replace = (record: KeyRecord, key: KeyVersion): KeyVersion => {
    put({ ...record, versions: record.versions.map((old) => (old.version === key.version ? key : old)) });
    return key;
  };

  const all = (kind: KeyState['kind']): readonly KeyRecord[] =>
    [...records.keys()]
      .sort()
      .map((id) => find(id))
      .filter((record) => record !== undefined)
      .filter((record) => record.state.kind === kind && !isSettling(record));
  const get = (name: string): KeyRecord => {
    const record = find(name);
    if (record?.state.kind !== 'active' || isSettling(record)) throw keyNotFound(name);
    return record;
  };
  const getVersion = (name: string, version: string): KeyVersion => {
    const record = get(name);
    if (version === '') return currentVersion(record);
    const found = record.versions.find((key) => key.version === version.toLowerCase());
    if (found === undefined) throw keyNotFound(`${name}/${version}`);
    return found;
  };
  const getDeleted = (name: string): KeyRecord => {
    const record = find(name);
    if (record?.state.kind !== 'deleted' || isSettling(record)) throw deletedKeyNotFound(name);
    return record;
  };
  const assertSettled = (name: string): void => {
    const record = find(name);
    if (record === undefined || !isSettling(record)) return;
    const [code, verb] =
      record.state.kind === 'active'
        ? ['ObjectIsBeingRecovered', 'recovered']
        : ['ObjectIsBeingDeleted', 'deleted'];
    throw conflict(code, `Key ${name} is currently being ${verb} and cannot be re-created; retry later.`);
  };
  const assertCreatable = (name: string): void => {
    assertSettled(name);
    if (find(name)?.state.kind !== 'deleted') return;
    throw conflict(
      'ObjectIsDeletedButRecoverable',
      `Key ${name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the key can only be recovered or purged.`,
    );
  };

  return {
    recovery,
    assertCreatable,
    find,
    list: () => all('active'),
    listDeleted: () => all('deleted'),
    get,
    getVersion,
    getDeleted,
    add(name, spec) {
      assertCreatable(name);
      const old = find(name);
      const key = toVersion(old?.name ?? name, spec, seconds());
      const versions = [...(old?.versions ?? []), key];
      put({
        name: key.name,
        versions,
        policy: old?.policy ?? null,
        state: { kind: 'active' },
        settlesAtMs: 0,
      });
      options.onNewVersion(key);
      return key;
    },
    restore({ name, versions, policy }) {
      assertCreatable(name);
      if (find(name) !== undefined) throw conflict(null, `A key named ${name} exists already.`);
      return currentVersion(put({ name, versions, policy, state: { kind: 'active' }, settlesAtMs: 0 }));
    },
    update(name, version, change) {
      const old = getVersion(name, version);
      const { keyOps = old.keyOps, tags = old.tags, enabled = old.enabled } = change;
      const nbf = change.nbf === undefined ? old.nbf : change.nbf;
      const exp = change.exp === undefined ? old.exp : change.exp;
      const raised = exp === old.exp ? {} : notRaised(exp, seconds());
      return replace(get(name), { ...old, keyOps, tags, enabled, nbf, exp, updated: seconds(), ...raised });
    },
    markRaised(key, raised) {
      replace(get(key.name), { ...getVersion(key.name, key.version), ...raised });
    },
    setPolicy: (name, policy) => put({ ...get(name), policy }),
    remove(name) {
      const deletedAt = seconds();
      const purgeAt = deletedAt + options.retentionDays * 86_400;
      assertSettled(name);
      return move(get(name), { kind: 'deleted', deletedAt, purgeAt });
    },
    recover(name) {
      assertSettled(name);
      return move(getDeleted(name), { kind: 'active' });
    },
    purge(name) {
      assertSettled(name);
      const record = getDeleted(name);
      if (options.purgeProtection) throw purgeProtected();
      move(record, { kind: 'purged' });
    },
  };
}

function isPurged(record: KeyRecord): boolean {
  return record.state.kind === 'purged';
}

function toVersion(name: string, spec: NewVersion, now: number): KeyVersion {
  const { kty, material, tags, keyOps = DEFAULT_KEY_OPS, enabled = true, nbf = null, exp = null } = spec;
  const version = randomBytes(16).toString('hex');
  const stamps = { created: now, updated: now, ...notRaised(exp, now) };
  return { name, version, kty, material, keyOps, tags, enabled, nbf, exp, ...stamps };
}

// An expiry that is past when it is set was never near.
function notRaised(exp: number | null, now: number): Pick<KeyVersion, 'nearExpiryRaised' | 'expiredRaised'> {
  return { nearExpiryRaised: exp !== null && exp <= now, expiredRaised: false };
}

// The service's inner code for this is not on record: none is given.
function purgeProtected(): VaultError {
  return new VaultError(
    403,
    'Forbidden',
    null,
    'Operation "purge" is not allowed because purge protection is enabled for this vault. Key Vault service will automatically purge it after the retention period has passed.',
  );
}
