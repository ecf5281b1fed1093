// Which KEK or vault an event is about, with everything that it says about that in agreement.
import { isCmkError } from '../../shared/domain/errors.ts';
import { isAllowedVault, type KekId, parseKekId, parseKeyUrl } from '../../shared/domain/key-id.ts';
import { excerpt, invalidEvent } from './event-fields.ts';

export interface VaultRules {
  /** The suffixes of vaults that may be asked; short names of vaults belong to the first. */
  readonly dnsSuffixes: readonly string[];
}

/** What an event says of a target; `path` names the place of `id`. */
export interface Naming {
  readonly path: string;
  readonly id: string | null;
  readonly vaultName: string | null;
  readonly objectName: string | null;
}

const KEY_REMEDY = 'Send the key identifier as Key Vault shows it: https://{vault}/keys/{name}/{version}.';
const VAULT_REMEDY = 'Send the vault as https://{vault host} or as its resource id.';
const AGREE_REMEDY = 'Send names that agree with the id, or the id alone.';

/** @throws CmkError InvalidEvent */
export function parseKek(naming: Naming, rules: VaultRules): KekId {
  const { path, id, vaultName, objectName } = naming;
  if (id === null && (vaultName === null || objectName === null))
    throw invalidEvent(path, 'is missing, and the names do not make up for it', KEY_REMEDY);
  const kek = translate(path, KEY_REMEDY, () => {
    if (id !== null) return parseKeyUrl(withoutExtras(id, path, KEY_REMEDY)).kek;
    return parseKekId(fullHost(vaultName ?? '', rules), objectName ?? '');
  });
  assertAllowed(kek.vault, path, rules);
  assertVaultName(kek.vault, vaultName, path);
  if (objectName !== null && objectName.toLowerCase() !== kek.name)
    throw invalidEvent(path, `names another key than ObjectName, ${excerpt(objectName)}`, AGREE_REMEDY);
  return kek;
}

/** The host of a vault. @throws CmkError InvalidEvent */
export function parseVault(naming: Omit<Naming, 'objectName'>, rules: VaultRules): string {
  const host = vaultHost(naming, rules);
  // The domain parses a vault as part of a KEK only.
  const { vault } = translate(naming.path, VAULT_REMEDY, () => parseKekId(host, 'any-key'));
  assertAllowed(vault, naming.path, rules);
  assertVaultName(vault, naming.vaultName, naming.path);
  return vault;
}

const VAULT_URL = /^https:\/\/([^/]+)\/?$/i;
const VAULT_RESOURCE =
  /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/Microsoft\.KeyVault\/vaults\/([^/]+)\/?$/i;

function vaultHost({ path, id, vaultName }: Omit<Naming, 'objectName'>, rules: VaultRules): string {
  if (id === null) {
    if (vaultName !== null) return fullHost(vaultName, rules);
    throw invalidEvent(path, 'is missing, and so is VaultName', VAULT_REMEDY);
  }
  const text = withoutExtras(id, path, VAULT_REMEDY);
  const host = VAULT_URL.exec(text)?.[1];
  if (host !== undefined) return host;
  const name = VAULT_RESOURCE.exec(text)?.[1];
  if (name !== undefined) return fullHost(name, rules);
  throw invalidEvent(path, `is neither a vault's URL nor its resource id (${excerpt(text)})`, VAULT_REMEDY);
}

/** A host from a short name; a name with dots is a host already. */
const fullHost = (name: string, rules: VaultRules): string =>
  name.includes('.') ? name : `${name}.${rules.dnsSuffixes[0] ?? ''}`;

/** Query, fragment and user are no part of an id and may hold secrets: they are refused unseen. */
function withoutExtras(text: string, path: string, remedy: string): string {
  if (/[?#@]/.test(text)) throw invalidEvent(path, 'has a query, a fragment or a user name', remedy);
  return text;
}

function assertAllowed(vault: string, path: string, rules: VaultRules): void {
  if (isAllowedVault(vault, rules.dnsSuffixes)) return;
  throw invalidEvent(
    path,
    `names a vault outside the allowed suffixes (${excerpt(vault)})`,
    'Subscribe only vaults under PGCMK_KEY_VAULT_DNS_SUFFIXES, or add the suffix there.',
  );
}

/** `VaultName` is the short name, or a whole host; a host without dots or an address says nothing about it. */
function assertVaultName(vault: string, vaultName: string | null, path: string): void {
  const host = vault.replace(/:\d+$/, '');
  if (vaultName === null || !host.includes('.') || /^[\d.]+$/.test(host)) return;
  const given = vaultName.toLowerCase();
  if (given === vault || given === host || given === host.split('.')[0]) return;
  throw invalidEvent(path, `names another vault than VaultName, ${excerpt(vaultName)}`, AGREE_REMEDY);
}

function translate<T>(path: string, remedy: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!isCmkError(error, 'InvalidKeyId')) throw error;
    throw invalidEvent(path, `is ${error.message}`, remedy, error);
  }
}
