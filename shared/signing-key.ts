// The app's own private key, as its setting has it.
import { createPrivateKey, type KeyObject } from 'node:crypto';

/**
 * PKCS #8 (RFC 5958) in base64, or as PEM, whose line breaks may be written as `\\n`.
 * @throws Error of node:crypto where it is no private key
 */
export function parseSigningKey(text: string): KeyObject {
  const base64 = text
    .replaceAll('\\n', '\n')
    .replaceAll(/-----(?:BEGIN|END) PRIVATE KEY-----/g, '')
    .replaceAll(/\s/g, '');
  return createPrivateKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'pkcs8' });
}
