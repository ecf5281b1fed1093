// What is true of a key, past the app and past every fault: read from inside the emulated vault.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { EmulatedVault } from '../key-vault/emulated-vault.ts';
import type { KeyVersion } from '../key-vault/key-record.ts';

export interface Wrapping {
  readonly kekVersion: string;
  readonly ciphertext: string;
}

const registered = z.object({ wrappedDek: z.object({ kekVersion: z.string(), ciphertext: z.string() }) });

export const readWrapping = (answer: unknown): Wrapping => registered.parse(answer).wrappedDek;

const DEK_BYTES = 32;
/** What the app gives the owner of a key after its expiry. */
const GRACE_SECONDS = 300;

/** Every version that the vault holds, also of a deleted key, oldest first. */
export function versionsOf(vault: EmulatedVault, keyName: string): readonly KeyVersion[] {
  const record = [...vault.keys(), ...vault.deletedKeys()].find(({ name }) => name === keyName);
  return record?.versions ?? [];
}

/** The fingerprint of the DEK in a wrapping, whatever state its key is in; null where it doesn't unwrap. */
export async function unwrapInside(
  vault: EmulatedVault,
  keyName: string,
  { kekVersion, ciphertext }: Wrapping,
): Promise<string | null> {
  const key = versionsOf(vault, keyName).find(({ version }) => version === kekVersion);
  const plain = await key?.material.decrypt('RSA-OAEP-256', Buffer.from(ciphertext, 'base64url'));
  if (plain === undefined || plain === null) return null;
  const print = createHash('sha256').update(plain.subarray(0, DEK_BYTES)).digest('hex');
  plain.fill(0);
  return print;
}

/** Whether the app may serve what is wrapped under this version now. */
export function isUsable(vault: EmulatedVault, keyName: string, version: string): boolean {
  const { rbac, firewall } = vault.switches();
  const record = vault.keys().find(({ name }) => name === keyName);
  const key = record?.versions.find((one) => one.version === version);
  if (key === undefined || rbac !== 'allowed' || firewall !== 'open') return false;
  const now = vault.now().getTime() / 1000;
  const expired = key.exp !== null && now >= key.exp + GRACE_SECONDS;
  return key.enabled && !expired && (key.nbf === null || now >= key.nbf - GRACE_SECONDS);
}
