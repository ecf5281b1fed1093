// One vault: its keys, clock, switches, counters and events, put together.

import { makeAccessPolicyEvent, makeKeyEvent, type VaultEvent, type VaultEventType } from './events.ts';
import { type KeyPool, RSA_BITS, type RsaBits } from './key-material.ts';
import { rotateKey } from './key-operations.ts';
import { DEFAULT_KEY_OPS, type KeyRecord, type KeyType, type KeyVersion } from './key-record.ts';
import { currentVersion, makeKeyStore, type NewVersion, type VersionChange } from './key-store.ts';
import { decideDue } from './lifetime.ts';
import { changeSwitches, DEFAULT_SWITCHES, type Switches, type SwitchesChange } from './switches.ts';
import { makeThrottle } from './throttle.ts';
import type { VaultContext } from './vault-context.ts';
import { VaultError } from './vault-error.ts';
import { type AnsweredRequest, startVaultServer } from './vault-server.ts';
import { makeVaultService } from './vault-service.ts';

export interface VaultOptions {
  /** 0, the default: any free one. */
  readonly port?: number;
  /** Something in front of the vault: is told the vault's port, and answers the one that the vault is known by. */
  readonly inFront?: (port: number) => Promise<number>;
  readonly retentionDays?: number;
  readonly purgeProtection?: boolean;
  readonly switches?: SwitchesChange;
  readonly clockOffsetSeconds?: number;
}

/** By default an RSA key of 2048 bits, enabled, for every operation, without nbf or exp. */
export interface NewKey extends Omit<NewVersion, 'material' | 'kty'> {
  readonly kty?: KeyType | undefined;
  readonly bits?: RsaBits | undefined;
}

/** A version by its id, the current one, or every one. */
export type VersionSelector = string | 'current' | 'all';

export interface EmulatedVault {
  readonly name: string;
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** `https://127.0.0.1:PORT` */
  readonly url: string;
  readonly resourceId: string;
  switches(): Switches;
  /** Throws on a setting that doesn't exist or isn't accepted; nothing is set then. */
  setSwitches(change: SwitchesChange): Promise<void>;
  now(): Date;
  clockOffsetSeconds(): number;
  setClockOffset(seconds: number): Promise<void>;
  /** Raises what is due by the clock; a timer does the same. */
  tick(): Promise<void>;
  counters(): Readonly<Record<string, number>>;
  resetCounters(): void;
  keys(): readonly KeyRecord[];
  deletedKeys(): readonly KeyRecord[];
  /** As the owner would, past access, limits and outages. All throw VaultError as the REST operations do. */
  createKey(name: string, key?: NewKey): Promise<KeyVersion>;
  rotateKey(name: string): Promise<KeyVersion>;
  updateKey(name: string, which: VersionSelector, change: VersionChange): readonly KeyVersion[];
  deleteKey(name: string): void;
  recoverKey(name: string): void;
  purgeKey(name: string): void;
  /** An access policy, or the permission model, was changed: the only access change that raises an event. */
  changeAccessPolicy(): void;
  close(): Promise<void>;
}

export interface VaultSurroundings {
  readonly certPem: string;
  readonly keyPem: string;
  readonly pool: KeyPool;
  readonly resourceGroupId: string;
  readonly authority: string;
  authenticate(token: string): Promise<boolean> | boolean;
  emit(event: VaultEvent): void;
  onRequest(vault: string, request: AnsweredRequest): void;
}

const OTHER_KEY = { name: 'another-key', version: '00000000000000000000000000000000' } as const;

export async function startEmulatedVault(
  name: string,
  options: VaultOptions,
  around: VaultSurroundings,
): Promise<EmulatedVault> {
  let switches: Switches = changeSwitches(DEFAULT_SWITCHES, options.switches ?? {});
  let offsetMs = (options.clockOffsetSeconds ?? 0) * 1000;
  let counters: Record<string, number> = {};
  const now = () => new Date(Date.now() + offsetMs);
  const nowSeconds = () => Math.floor((Date.now() + offsetMs) / 1000);

  const server = await startVaultServer({
    certPem: around.certPem,
    keyPem: around.keyPem,
    port: options.port ?? 0,
    switches: () => switches,
    now,
    onAnswered(request) {
      counters[request.count] = (counters[request.count] ?? 0) + 1;
      around.onRequest(name, request);
    },
  });
  const host = `127.0.0.1:${(await options.inFront?.(server.port)) ?? server.port}`;
  const url = `https://${host}`;
  const resourceId = `${around.resourceGroupId}/providers/Microsoft.KeyVault/vaults/${name}`;
  const identity = { name, url, resourceId };
  const raise = (eventType: VaultEventType, key: KeyVersion) =>
    around.emit(makeKeyEvent(identity, eventType, key, now()));

  const store = makeKeyStore({
    retentionDays: options.retentionDays ?? 90,
    purgeProtection: options.purgeProtection ?? false,
    now: () => Date.now() + offsetMs,
    settlingMs: () => switches.settlingSeconds * 1000,
    onNewVersion: (key) => raise('Microsoft.KeyVault.KeyNewVersionCreated', key),
  });
  const context: VaultContext = {
    url,
    store,
    pool: around.pool,
    switches: () => switches,
    nowSeconds,
    toKid(keyName, version) {
      const kid = switches.outage === 'wrongKey' ? OTHER_KEY : { name: keyName, version };
      return `${url}/keys/${kid.name}${version === '' ? '' : `/${kid.version}`}`;
    },
  };
  const { authority, authenticate } = around;
  server.serve(makeVaultService({ context, throttle: makeThrottle(), authority, authenticate }));
  await server.applyOutage();

  let rotating = false;
  const tick = async (): Promise<void> => {
    const toRotate: string[] = [];
    for (const record of store.list()) {
      const key = currentVersion(record);
      const due = decideDue(key, record.policy, nowSeconds());
      if (due.length === 0) continue;
      store.markRaised(key, {
        nearExpiryRaised: key.nearExpiryRaised || due.includes('nearExpiry'),
        expiredRaised: key.expiredRaised || due.includes('expired'),
      });
      if (due.includes('nearExpiry')) raise('Microsoft.KeyVault.KeyNearExpiry', key);
      if (due.includes('expired')) raise('Microsoft.KeyVault.KeyExpired', key);
      if (due.includes('rotate')) toRotate.push(record.name);
    }
    if (rotating || toRotate.length === 0) return;
    rotating = true;
    try {
      for (const keyName of toRotate) await rotateKey(context, keyName);
    } catch (error) {
      if (!(error instanceof VaultError)) throw error; // deleted while its new version was being made
    } finally {
      rotating = false;
    }
  };

  return {
    name,
    host,
    url,
    resourceId,
    switches: () => switches,
    async setSwitches(change) {
      switches = changeSwitches(switches, change);
      await server.applyOutage();
    },
    now,
    clockOffsetSeconds: () => offsetMs / 1000,
    async setClockOffset(seconds) {
      offsetMs = seconds * 1000;
      await tick();
    },
    tick,
    counters: () => ({ ...counters }),
    resetCounters() {
      counters = {};
    },
    keys: () => store.list(),
    deletedKeys: () => store.listDeleted(),
    async createKey(keyName, { bits = RSA_BITS[0], kty = 'RSA', keyOps = DEFAULT_KEY_OPS, ...rest } = {}) {
      store.assertCreatable(keyName);
      return store.add(keyName, { ...rest, kty, keyOps, material: await around.pool.take(bits) });
    },
    rotateKey: (keyName) => rotateKey(context, keyName),
    updateKey(keyName, which, change) {
      const versions = which === 'all' ? store.get(keyName).versions.map((key) => key.version) : [which];
      return versions.map((version) => store.update(keyName, version === 'current' ? '' : version, change));
    },
    deleteKey: (keyName) => void store.remove(keyName),
    recoverKey: (keyName) => void store.recover(keyName),
    purgeKey: (keyName) => store.purge(keyName),
    changeAccessPolicy: () => around.emit(makeAccessPolicyEvent(identity, now())),
    close: () => server.close(),
  };
}
