// What the control endpoint can do, one line a route.
import { z } from 'zod';
import type { EmulatedVault, VaultOptions } from './emulated-vault.ts';
import { RSA_BITS } from './key-material.ts';
import { KEY_OPS, KEY_TYPES, type KeyRecord, type KeyVersion } from './key-record.ts';
import { switchesSchema } from './switches.ts';

export class ControlError extends Error {
  readonly status: number;
  /** What would have been accepted: a JSON schema, or the routes. */
  readonly accepts: unknown;

  constructor(status: number, message: string, accepts?: unknown) {
    super(message);
    this.name = 'ControlError';
    this.status = status;
    this.accepts = accepts;
  }
}

export interface ControlledVaults {
  vault(name: string): EmulatedVault;
  vaults(): readonly EmulatedVault[];
  addVault(name: string, options: VaultOptions): Promise<EmulatedVault>;
}

type Parameters = Readonly<Record<string, string>>;
type Perform = (vaults: ControlledVaults, at: Parameters, body: unknown) => unknown;
type PerformOnVault = (vault: EmulatedVault, at: Parameters, body: unknown) => unknown;
type PerformOnKey = (vault: EmulatedVault, key: string, body: unknown) => unknown;

const instant = z.int().nonnegative().nullable();
const attributes = { enabled: z.boolean(), nbf: instant, exp: instant, keyOps: z.array(z.enum(KEY_OPS)) };
const clockBody = z.strictObject({ offsetSeconds: z.number() });
const newVaultBody = z.strictObject({
  name: z
    .string()
    .regex(/^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$/, 'expected 3 to 24 letters, digits and hyphens'),
  retentionDays: z.int().min(7).max(90).default(90),
  purgeProtection: z.boolean().default(false),
});
const newKeyBody = z
  .strictObject({ ...attributes, kty: z.enum(KEY_TYPES), bits: z.literal(RSA_BITS) })
  .partial();
const versionBody = z.strictObject(attributes).partial();
/** Which versions: an id, `current` or, by default, `all`. */
const whichBody = z.strictObject({ version: z.string().default('all') });

const ROUTES: readonly (readonly [method: string, path: string, perform: Perform])[] = [
  ['GET', '/', () => routeNames()],
  ['GET', '/vaults', ({ vaults }) => vaults().map(showVault)],
  ['POST', '/vaults', addVault],
  ['GET', '/vaults/:vault', onVault(showVault)],
  ['GET', '/vaults/:vault/switches', onVault((vault) => vault.switches())],
  ['POST', '/vaults/:vault/switches', onVault(setSwitches)],
  ['POST', '/vaults/:vault/clock', onVault(setClock)],
  ['GET', '/vaults/:vault/counters', onVault((vault) => vault.counters())],
  ['DELETE', '/vaults/:vault/counters', onVault((vault) => vault.resetCounters())],
  ['POST', '/vaults/:vault/access-policy-change', onVault((vault) => vault.changeAccessPolicy())],
  ['GET', '/vaults/:vault/keys', onVault((vault) => vault.keys().map(showKey))],
  ['GET', '/vaults/:vault/deletedkeys', onVault((vault) => vault.deletedKeys().map(showKey))],
  ['POST', '/vaults/:vault/keys/:key/create', onKey(createKey)],
  ['POST', '/vaults/:vault/keys/:key/disable', onKey(setEnabled(false))],
  ['POST', '/vaults/:vault/keys/:key/enable', onKey(setEnabled(true))],
  [
    'POST',
    '/vaults/:vault/keys/:key/rotate',
    onKey(async (vault, key) => showVersion(await vault.rotateKey(key))),
  ],
  ['POST', '/vaults/:vault/keys/:key/delete', onKey((vault, key) => vault.deleteKey(key))],
  ['POST', '/vaults/:vault/keys/:key/recover', onKey((vault, key) => vault.recoverKey(key))],
  ['POST', '/vaults/:vault/keys/:key/purge', onKey((vault, key) => vault.purgeKey(key))],
  ['PATCH', '/vaults/:vault/keys/:key/versions/:version', onVault(updateVersion)],
];

/** Throws ControlError 400 or 404, or the VaultError of a refused key operation. */
export async function performControl(
  vaults: ControlledVaults,
  method: string,
  target: string,
  body: unknown,
): Promise<unknown> {
  const path = target.split('?', 1)[0] ?? '';
  for (const [routeMethod, pattern, perform] of ROUTES) {
    const at = routeMethod === method ? matchPath(pattern, path) : null;
    if (at !== null) return (await perform(vaults, at, body)) ?? { done: true };
  }
  throw new ControlError(404, `There is no ${method} ${path}.`, routeNames());
}

function routeNames(): readonly string[] {
  return ROUTES.map(([method, path]) => `${method} ${path}`);
}

function matchPath(pattern: string, path: string): Parameters | null {
  const wanted = pattern.split('/');
  const given = path.replace(/(?<=.)\/$/, '').split('/');
  if (wanted.length !== given.length) return null;
  const at: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? '';
    if (part.startsWith(':') && value !== '') at[part.slice(1)] = value;
    else if (part !== value) return null;
  }
  return at;
}

function onVault(perform: PerformOnVault): Perform {
  return ({ vault, vaults }, at, body) => {
    const name = at['vault'] ?? '';
    const names = vaults().map((each) => each.name);
    if (!names.some((each) => each.toLowerCase() === name.toLowerCase())) {
      throw new ControlError(404, `There is no vault ${name}.`, names);
    }
    return perform(vault(name), at, body);
  };
}

function onKey(perform: PerformOnKey): Perform {
  return onVault((vault, at, body) => perform(vault, at['key'] ?? '', body));
}

function parse<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  throw new ControlError(400, z.prettifyError(result.error), z.toJSONSchema(schema, { io: 'input' }));
}

async function addVault({ addVault: add, vaults }: ControlledVaults, _at: Parameters, body: unknown) {
  const { name, ...options } = parse(newVaultBody, body);
  if (vaults().some((each) => each.name.toLowerCase() === name.toLowerCase())) {
    throw new ControlError(400, `There is a vault ${name} already.`);
  }
  return showVault(await add(name, options));
}

async function setSwitches(vault: EmulatedVault, _at: Parameters, body: unknown) {
  await vault.setSwitches(parse(switchesSchema.partial(), body));
  return vault.switches();
}

async function setClock(vault: EmulatedVault, _at: Parameters, body: unknown) {
  await vault.setClockOffset(parse(clockBody, body).offsetSeconds);
  return showVault(vault);
}

async function createKey(vault: EmulatedVault, key: string, body: unknown) {
  return showVersion(await vault.createKey(key, parse(newKeyBody, body)));
}

function setEnabled(enabled: boolean): PerformOnKey {
  return (vault, key, body) =>
    vault.updateKey(key, parse(whichBody, body).version, { enabled }).map(showVersion);
}

function updateVersion(vault: EmulatedVault, at: Parameters, body: unknown) {
  const change = parse(versionBody, body);
  return vault.updateKey(at['key'] ?? '', at['version'] ?? '', change).map(showVersion);
}

function showVault(vault: EmulatedVault) {
  const { name, url, resourceId } = vault;
  return {
    name,
    url,
    resourceId,
    now: vault.now(),
    clockOffsetSeconds: vault.clockOffsetSeconds(),
    switches: vault.switches(),
  };
}

function showKey({ name, versions, state }: KeyRecord) {
  return { name, state: state.kind, versions: versions.map(showVersion) };
}

function showVersion({ material, nearExpiryRaised: _near, expiredRaised: _expired, ...rest }: KeyVersion) {
  return { ...rest, bits: material.bits };
}
