// Everything but the cryptography: the operations on keys, versions, policies and deleted keys.
import { createPrivateKey } from 'node:crypto';
import { fromBackup, toBackup } from './backup.ts';
import { createBody, importBody, parseBody, policyBody, restoreBody, updateBody } from './bodies.ts';
import { type KeyMaterial, toKeyMaterial } from './key-material.ts';
import { type KeyRecord, type KeyVersion, type RotationPolicy, toBundle, toItem } from './key-record.ts';
import { currentVersion, type VersionChange } from './key-store.ts';
import { expiryOfRotated } from './lifetime.ts';
import type { CryptoOperation, Operation } from './operations.ts';
import { toPage } from './paging.ts';
import type { Route } from './routes.ts';
import type { Answer, VaultContext } from './vault-context.ts';
import { badParameter, keyDisabled } from './vault-error.ts';

type Perform = (context: VaultContext, route: Route, body: Buffer) => object | undefined | Promise<object>;

/** undefined: 204 without a body. */
const PERFORM: Readonly<Record<Exclude<Operation, CryptoOperation>, Perform>> = {
  async create(context, { name }, body) {
    const { kty, key_size, key_ops, tags, attributes } = parseBody(createBody, body);
    context.store.assertCreatable(name);
    const material = await context.pool.take(key_size);
    return bundle(context, context.store.add(name, { kty, material, keyOps: key_ops, tags, ...attributes }));
  },
  import(context, { name }, body) {
    const { key, key_ops, Hsm, tags, attributes } = parseBody(importBody, body);
    const kty = Hsm === true || key.kty === 'RSA-HSM' ? 'RSA-HSM' : 'RSA';
    const keyOps = key.key_ops ?? key_ops;
    return bundle(
      context,
      context.store.add(name, { kty, material: fromJwk(key), keyOps, tags, ...attributes }),
    );
  },
  get(context, { name, version }) {
    const key = context.store.getVersion(name, version);
    if (!key.enabled && !context.switches().disabledReads) throw keyDisabled('get');
    return bundle(context, key);
  },
  list(context, route) {
    const keys = context.store.list().map(currentVersion);
    const page = toPage(keys, (key) => key.name.toLowerCase(), route, `${context.url}/keys`);
    const value = page.items.map((key) => toItem(key, context.toKid(key.name, ''), context.store.recovery));
    return { value, nextLink: page.nextLink };
  },
  listversions(context, route) {
    const { name, versions } = context.store.get(route.name);
    const page = toPage(versions, (key) => key.version, route, `${context.url}/keys/${name}/versions`);
    const value = page.items.map((key) =>
      toItem(key, context.toKid(name, key.version), context.store.recovery),
    );
    return { value, nextLink: page.nextLink };
  },
  update(context, { name, version }, body) {
    const { key_ops: keyOps, tags, attributes } = parseBody(updateBody, body);
    const change: VersionChange = { keyOps, tags, ...attributes };
    return bundle(context, context.store.update(name, version, change));
  },
  rotate: async (context, { name }) => bundle(context, await rotateKey(context, name)),
  getrotationpolicy: (context, { name }) => policy(context, context.store.get(name)),
  setrotationpolicy(context, { name }, body) {
    const { lifetimeActions, attributes } = parseBody(policyBody, body);
    const now = context.nowSeconds();
    const created = context.store.get(name).policy?.created ?? now;
    const expiryTime = attributes?.expiryTime ?? null;
    const next: RotationPolicy = { lifetimeActions, expiryTime, created, updated: now };
    const isDefault = lifetimeActions.length === 0 && expiryTime === null;
    return policy(context, context.store.setPolicy(name, isDefault ? null : next));
  },
  backup: (context, { name }) => ({ value: toBackup(context.store.get(name)) }),
  restore: (context, _route, body) =>
    bundle(context, context.store.restore(fromBackup(parseBody(restoreBody, body).value))),
  delete: (context, { name }) => deletedBundle(context, context.store.remove(name)),
  deletedkeys: (context, { name }) => deletedBundle(context, context.store.getDeleted(name)),
  listdeletedkeys(context, route) {
    const records = context.store.listDeleted();
    const page = toPage(records, ({ name }) => name.toLowerCase(), route, `${context.url}/deletedkeys`);
    const value = page.items.map((record) => ({
      ...toItem(currentVersion(record), context.toKid(record.name, ''), context.store.recovery),
      ...deletion(context, record),
    }));
    return { value, nextLink: page.nextLink };
  },
  recover: (context, { name }) => bundle(context, currentVersion(context.store.recover(name))),
  purge(context, { name }) {
    context.store.purge(name);
    return undefined;
  },
};

export async function performKeyOperation(
  context: VaultContext,
  operation: Exclude<Operation, CryptoOperation>,
  route: Route,
  body: Buffer,
): Promise<Answer> {
  const result = await PERFORM[operation](context, route, body);
  if (result === undefined) return { status: 204, body: '', count: operation };
  return { status: 200, body: JSON.stringify(result), count: operation };
}

/** A new version like the current one, with the expiry that the policy gives it. */
export async function rotateKey(context: VaultContext, name: string): Promise<KeyVersion> {
  const { kty, material } = currentVersion(context.store.get(name));
  const fresh = await context.pool.take(material.bits);
  const record = context.store.get(name);
  const { keyOps, tags } = currentVersion(record);
  const exp = expiryOfRotated(record.policy, context.nowSeconds());
  return context.store.add(name, { kty, material: fresh, keyOps, tags, exp });
}

function bundle(context: VaultContext, key: KeyVersion) {
  return toBundle(key, context.toKid(key.name, key.version), context.store.recovery);
}

function deletedBundle(context: VaultContext, record: KeyRecord) {
  return { ...deletion(context, record), ...bundle(context, currentVersion(record)) };
}

function deletion({ url }: VaultContext, { name, state }: KeyRecord) {
  if (state.kind !== 'deleted') return {};
  const recoveryId = `${url}/deletedkeys/${name}`;
  return { recoveryId, deletedDate: state.deletedAt, scheduledPurgeDate: state.purgeAt };
}

// Without a policy the service shows its default: a notice 30 days before expiry.
function policy({ url }: VaultContext, { name, policy: set }: KeyRecord) {
  const byDefault = [{ trigger: { timeBeforeExpiry: 'P30D' }, action: { type: 'Notify' } }];
  const { lifetimeActions = byDefault, expiryTime = null, created, updated } = set ?? {};
  return {
    id: `${url}/keys/${name}/rotationpolicy`,
    lifetimeActions,
    attributes: { expiryTime, created, updated },
  };
}

function fromJwk(key: { readonly [member: string]: unknown }): KeyMaterial {
  try {
    return toKeyMaterial(createPrivateKey({ key: { ...key, kty: 'RSA' }, format: 'jwk' }));
  } catch (cause) {
    throw badParameter(
      `The key can't be imported: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}
