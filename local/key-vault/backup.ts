// Backup blobs. The real ones are encrypted; the keys here are worth nothing, so these are plain.
import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import { toKeyMaterial } from './key-material.ts';
import { KEY_TYPES, type KeyRecord } from './key-record.ts';
import { badParameter } from './vault-error.ts';

const seconds = z.int();
const version = z.object({
  name: z.string(),
  version: z.string(),
  kty: z.enum(KEY_TYPES),
  privateKey: z.string(),
  keyOps: z.array(z.string()),
  tags: z.record(z.string(), z.string()).optional(),
  enabled: z.boolean(),
  nbf: seconds.nullable(),
  exp: seconds.nullable(),
  created: seconds,
  updated: seconds,
  nearExpiryRaised: z.boolean(),
  expiredRaised: z.boolean(),
});
const blob = z.object({ name: z.string(), versions: z.array(version).min(1) });

export function toBackup(record: KeyRecord): string {
  const versions = record.versions.map(({ material, ...rest }) => ({
    ...rest,
    privateKey: material.toPkcs8Pem(),
  }));
  return Buffer.from(JSON.stringify({ name: record.name, versions })).toString('base64url');
}

/** The versions keep their ids; the rotation policy is not part of a backup. Throws 400. */
export function fromBackup(value: string): Pick<KeyRecord, 'name' | 'versions' | 'policy'> {
  try {
    const { name, versions } = blob.parse(JSON.parse(Buffer.from(value, 'base64url').toString()));
    return {
      name,
      policy: null,
      versions: versions.map(({ privateKey, tags, ...rest }) => ({
        ...rest,
        tags,
        material: toKeyMaterial(createPrivateKey(privateKey)),
      })),
    };
  } catch {
    throw badParameter('The backup blob is not one of this vault emulator.');
  }
}
