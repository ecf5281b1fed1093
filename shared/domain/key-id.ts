// Names of KEKs and key versions, and the only parser of Key Vault key URLs.
import { CmkError } from './errors.ts';

/** A KEK: vault host (with a port only off the standard one) and key name, both in lower case. */
export interface KekId {
  readonly vault: string;
  readonly name: string;
}

/** A key URL taken apart. `version` is null where the URL names the key without one. */
export interface KeyUrl {
  readonly kek: KekId;
  readonly version: string | null;
}

const NAME = /^[0-9a-z-]{1,127}$/;
const VERSION = /^[0-9a-f]{32}$/;
const HOST = /^[0-9a-z](?:[0-9a-z.-]{0,250}[0-9a-z])?(?::\d{1,5})?$/;

const fault = (text: string, why: string) =>
  new CmkError('InvalidKeyId', `not a Key Vault key URL: ${why} (${JSON.stringify(text.slice(0, 200))})`, {
    remedy:
      'Give the key identifier as Key Vault shows it: https://{vault}/keys/{name} or …/{name}/{version}.',
  });

/**
 * Parses `https://{vault}/keys/{name}[/{version}]`. Key Vault's names don't differ by case and its events carry
 * stray spaces, so both are normalised away.
 * @throws CmkError InvalidKeyId
 */
export function parseKeyUrl(text: string): KeyUrl {
  const trimmed = text.trim();
  const match = /^https:\/\/([^/?#@]+)\/keys\/([^/?#]+)(?:\/([^/?#]*))?\/?$/i.exec(trimmed);
  if (match === null) throw fault(text, 'expected https://{vault}/keys/{name}[/{version}]');
  const [, host = '', name = '', version = ''] = match;
  return { kek: parseKekId(host, name), version: version.trim() === '' ? null : parseVersion(version) };
}

/** @throws CmkError InvalidKeyId */
export function parseKekId(vault: string, name: string): KekId {
  const kek = { vault: vault.trim().toLowerCase().replace(/:443$/, ''), name: name.trim().toLowerCase() };
  if (!HOST.test(kek.vault)) throw fault(vault, 'the vault host has characters no host has');
  if (!NAME.test(kek.name)) throw fault(name, 'a key name is 1 to 127 letters, digits and dashes');
  return kek;
}

/** @throws CmkError InvalidKeyId unless `text` is a concrete version: 32 hexadecimal digits. */
export function parseVersion(text: string): string {
  const version = text.trim().toLowerCase();
  // Invariant I-09: a version that is stored or queued is concrete; "latest" and "" never are.
  if (!VERSION.test(version)) throw fault(text, 'a key version is 32 hexadecimal digits');
  return version;
}

/** Whether the app may send its token there: the host is one of the suffixes, or ends with a dot and one. */
export function isAllowedVault(vault: string, suffixes: readonly string[]): boolean {
  const host = vault.replace(/:\d+$/, '');
  return suffixes.some((suffix) => host === suffix || host.endsWith(`.${suffix}`));
}

/** The KEK as tables and queues name it: `{vault}|{key}`. */
export const kekKey = (kek: KekId): string => `${kek.vault}|${kek.name}`;

/** The reverse of {@link kekKey}. @throws CmkError InvalidKeyId */
export function parseKekKey(key: string): KekId {
  const [vault = '', name = '', ...rest] = key.split('|');
  if (rest.length > 0) throw fault(key, 'expected {vault}|{key}');
  return parseKekId(vault, name);
}

/** The key URL, of one version where one is given. */
export const keyUrl = (kek: KekId, version?: string): string =>
  `https://${kek.vault}/keys/${kek.name}${version === undefined ? '' : `/${version}`}`;

export const isSameKek = (a: KekId, b: KekId): boolean => a.vault === b.vault && a.name === b.name;
