import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint, createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { describe, expect, test } from 'vitest';
import { makeStatementSigner } from '../../../shared/jose/sign-statement.ts';
import { FakeClock } from '../../fakes/runtime.ts';

const NOW = new Date('2030-01-01T00:00:00Z');
const newKey = () => generateKeyPairSync('ed25519').privateKey;
const signerOf = (key = newKey()) =>
  makeStatementSigner({ key, issuer: 'pg-cmk', clock: new FakeClock(NOW) });

/** As whoever holds a statement and the published keys would. */
async function verify(statement: string, { keys }: { readonly keys: readonly object[] }) {
  const set: unknown = JSON.parse(JSON.stringify({ keys }));
  return jwtVerify(statement, createLocalJWKSet(set as Parameters<typeof createLocalJWKSet>[0]), {
    algorithms: ['EdDSA'],
    issuer: 'pg-cmk',
  });
}

describe('a signed statement', () => {
  test('is checked offline with the published key, and says what was said', async () => {
    const signer = signerOf();
    const statement = await signer.sign({ kind: 'KeyVersionRetired', census: { server: 0 }, last: null });
    const { payload, protectedHeader } = await verify(statement, await signer.publicKeys());
    expect(payload).toEqual({
      kind: 'KeyVersionRetired',
      census: { server: 0 },
      last: null,
      iss: 'pg-cmk',
      iat: NOW.getTime() / 1000,
    });
    const [key] = (await signer.publicKeys()).keys;
    expect(protectedHeader).toEqual({ alg: 'EdDSA', typ: 'pg-cmk-statement+jwt', kid: key?.['kid'] });
  });

  test('names its key by the thumbprint of RFC 7638', async () => {
    // The key pair of RFC 8037, appendix A, with the thumbprint that it gives.
    const d = 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A';
    const x = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo';
    const key = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d, x }, format: 'jwk' });
    const signer = signerOf(key);
    const kid = 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k';
    expect(await signer.publicKeys()).toEqual({
      keys: [{ kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'EdDSA', use: 'sig' }],
    });
    expect(await calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x })).toBe(kid);
    expect(decodeProtectedHeader(await signer.sign({})).kid).toBe(kid);
  });

  test('never gives away the private key', async () => {
    const key = newKey();
    const { d } = key.export({ format: 'jwk' });
    expect(d).toMatch(/^[\w-]{43}$/);
    expect(JSON.stringify(await signerOf(key).publicKeys())).not.toContain(d);
  });

  test("can't be made to speak for somebody else, or for another time", async () => {
    const signer = signerOf();
    const { payload } = await verify(
      await signer.sign({ iss: 'somebody', iat: 1 }),
      await signer.publicKeys(),
    );
    expect(payload).toEqual({ iss: 'pg-cmk', iat: NOW.getTime() / 1000 });
  });

  test('that was changed, or that another key signed, is refused', async () => {
    const signer = signerOf();
    const [header, payload = '', signature] = (await signer.sign({ sub: 'a' })).split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'b' })).toString('base64url');
    await expect(verify(`${header}.${forged}.${signature}`, await signer.publicKeys())).rejects.toThrow(
      'signature verification failed',
    );
    const foreign = await signerOf().sign({ sub: 'a' });
    await expect(verify(foreign, await signer.publicKeys())).rejects.toThrow('no applicable key found');
  });
});
