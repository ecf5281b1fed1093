// wrapkey, unwrapkey, encrypt, decrypt.
import { parseCryptoBody } from './bodies.ts';
import type { KeyVersion } from './key-record.ts';
import { type CryptoOperation, KEY_OPERATIONS } from './operations.ts';
import type { Switches } from './switches.ts';
import type { Answer, VaultContext } from './vault-context.ts';
import { badParameter, forbidden, keyDisabled } from './vault-error.ts';

export async function performCrypto(
  context: VaultContext,
  operation: CryptoOperation,
  key: KeyVersion,
  body: Buffer,
): Promise<Answer> {
  const { algorithm, value } = parseCryptoBody(body);
  assertAllowed(key, operation, context.nowSeconds(), context.switches());
  const isOpening = operation === 'unwrapkey' || operation === 'decrypt';
  const result = isOpening
    ? await key.material.decrypt(algorithm, value)
    : key.material.encrypt(algorithm, value);
  if (result === null) throw badParameter('The parameter is incorrect.');
  return {
    status: 200,
    body: `{"kid":"${context.toKid(key.name, key.version)}","value":"${result.toString('base64url')}"}`,
    count: isOpening ? `${operation}:${result.length}` : operation,
  };
}

/** Opening is allowed outside nbf and exp, making is not; a disabled key opens nothing (azure-facts 3.5). */
export function assertAllowed(
  key: KeyVersion,
  operation: CryptoOperation,
  now: number,
  switches: Switches,
): void {
  const verb = KEY_OPERATIONS[operation];
  const isOpening = operation === 'unwrapkey' || operation === 'decrypt';
  const isExpired = key.exp !== null && now >= key.exp;
  if (!key.enabled) {
    const tolerated = isOpening ? isExpired && switches.disabledExpiredUnwraps : switches.disabledWraps;
    if (!tolerated) throw keyDisabled(verb);
  }
  if (!key.keyOps.includes(verb)) {
    throw forbidden('KeyOperationForbidden', `Operation ${verb} is not permitted on this key.`);
  }
  if (isOpening) return;
  if (isExpired) throw forbidden('KeyExpired', `Operation ${verb} is not allowed on an expired key.`);
  if (key.nbf !== null && now < key.nbf) {
    throw forbidden(
      switches.notYetValidCode,
      `Operation ${verb} is not allowed on a key that is not yet valid.`,
    );
  }
}
