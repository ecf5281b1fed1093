// The canary of a key version: wrapped once, unwrapped at every probe. It holds no secret (design 5).
import { createHash, timingSafeEqual } from 'node:crypto';
import { type KekId, keyUrl } from './key-id.ts';

/** SHA-256("pg-cmk/canary" ‖ key version id), 32 bytes. */
export const canaryOf = (kek: KekId, version: string): Uint8Array =>
  createHash('sha256')
    .update(`pg-cmk/canary${keyUrl(kek, version)}`)
    .digest();

/** Whether `bytes` are the canary of that version. */
export function isCanary(bytes: Uint8Array, kek: KekId, version: string): boolean {
  const expected = canaryOf(kek, version);
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
}
