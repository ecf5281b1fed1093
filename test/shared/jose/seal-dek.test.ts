import { randomBytes } from 'node:crypto';
import { compactDecrypt, exportJWK, generateKeyPair, type JWK } from 'jose';
import { describe, expect, test } from 'vitest';
import { Dek } from '../../../shared/domain/dek.ts';
import { makeDekSealer } from '../../../shared/jose/seal-dek.ts';

const sealer = makeDekSealer();
const BYTES = Uint8Array.from(randomBytes(32));
const makeDek = () => new Dek(Uint8Array.from(BYTES));
const pairOf = async (crv: string) => {
  const { publicKey, privateKey } = await generateKeyPair('ECDH-ES', { crv, extractable: true });
  return { privateKey, publicJwk: await exportJWK(publicKey), privateJwk: await exportJWK(privateKey) };
};
const CONTEXT = {
  serverId: 'orders-1',
  dekId: 'd'.repeat(32),
  releasedAt: new Date('2030-01-01T00:00:00.250Z'),
  leaseExpiresOn: new Date('2030-01-01T00:05:00.250Z'),
};
const seal = async (jwk: unknown) => {
  using dek = makeDek();
  return await sealer.seal(dek, jwk, CONTEXT);
};

describe('makeDekSealer', () => {
  test.each(['X25519', 'P-256'])('seals to %s; only its private half opens it', async (crv) => {
    const { privateKey, publicJwk } = await pairOf(crv);
    const jwe = await seal(publicJwk);
    const opened = await compactDecrypt(jwe, privateKey);
    expect(Buffer.from(opened.plaintext)).toEqual(Buffer.from(BYTES));
    const { epk, ...header } = opened.protectedHeader;
    expect(header).toEqual({
      alg: 'ECDH-ES',
      enc: 'A256GCM',
      typ: 'pg-cmk-dek+jwe',
      sub: 'orders-1',
      dekId: 'd'.repeat(32),
      iat: Date.parse('2030-01-01T00:00:01Z') / 1000,
      exp: Date.parse('2030-01-01T00:05:00Z') / 1000,
    });
    expect(epk).toMatchObject({ crv });
    const other = await pairOf(crv);
    await expect(compactDecrypt(jwe, other.privateKey)).rejects.toMatchObject({
      code: 'ERR_JWE_DECRYPTION_FAILED',
    });
  });

  test('a protected header that was changed opens nothing', async () => {
    const { privateKey, publicJwk } = await pairOf('X25519');
    const [head = '', ...rest] = (await seal(publicJwk)).split('.');
    const header = JSON.parse(Buffer.from(head, 'base64url').toString());
    for (const change of [{ sub: 'orders-2' }, { exp: header.exp + 3600 }, { dekId: 'e'.repeat(32) }]) {
      const forged = Buffer.from(JSON.stringify({ ...header, ...change })).toString('base64url');
      await expect(compactDecrypt([forged, ...rest].join('.'), privateKey)).rejects.toMatchObject({
        code: 'ERR_JWE_DECRYPTION_FAILED',
      });
    }
  });

  test('what the sender says of its use has no say', async () => {
    const { privateKey, publicJwk } = await pairOf('P-256');
    const jwe = await seal({ ...publicJwk, alg: 'ES256', use: 'sig', key_ops: ['verify'], kid: 'x' });
    expect((await compactDecrypt(jwe, privateKey)).plaintext).toHaveLength(32);
  });

  const x25519 = (x: Buffer) => ({ kty: 'OKP', crv: 'X25519', x: x.toString('base64url') });
  const lowOrder = Buffer.alloc(32);
  lowOrder[0] = 1;
  test.each<[string, (of: { p256: JWK; x: JWK; p384: JWK; privateP: JWK; privateX: JWK }) => unknown]>([
    ['nothing', () => undefined],
    ['null', () => null],
    ['text', () => 'key'],
    ['an empty object', () => ({})],
    ['a private P-256 key', ({ privateP }) => privateP],
    ['a private X25519 key', ({ privateX }) => privateX],
    ['a null `d`', ({ x }) => ({ ...x, d: null })],
    ['P-384', ({ p384 }) => p384],
    ['P-384 that calls itself P-256', ({ p384 }) => ({ ...p384, crv: 'P-256' })],
    ['Ed25519', ({ x }) => ({ ...x, crv: 'Ed25519' })],
    ['an X25519 key of the type EC', ({ x }) => ({ ...x, kty: 'EC' })],
    ['RSA', () => ({ kty: 'RSA', n: 'AQAB', e: 'AQAB' })],
    ['a shared secret', () => ({ kty: 'oct', k: 'AAAA' })],
    ['a point off the curve', ({ p256 }) => ({ ...p256, y: p256.x })],
    ['half a point', ({ p256: { y: _, ...rest } }) => rest],
    ['a coordinate too short', () => x25519(Buffer.alloc(31, 7))],
    ['a coordinate too long', () => x25519(Buffer.alloc(33, 7))],
    ['a coordinate with padding', ({ x }) => ({ ...x, x: `${x.x}=` })],
    ['a coordinate that is a number', ({ x }) => ({ ...x, x: 7 })],
    ['a point of low order', () => x25519(lowOrder)],
    ['the zero point', () => x25519(Buffer.alloc(32))],
  ])('refuses %s', async (_, make) => {
    const [p, x, p384] = await Promise.all(['P-256', 'X25519', 'P-384'].map(pairOf));
    if (p === undefined || x === undefined || p384 === undefined) throw new Error('no keys');
    const jwk = make({
      p256: p.publicJwk,
      x: x.publicJwk,
      p384: p384.publicJwk,
      privateP: p.privateJwk,
      privateX: x.privateJwk,
    });
    await expect(seal(jwk)).rejects.toMatchObject({ code: 'InvalidPublicKey', retryable: false });
  });

  test('a DEK that is disposed of already is a fault of the caller, not of the key', async () => {
    const { publicJwk } = await pairOf('X25519');
    const dek = makeDek();
    dek[Symbol.dispose]();
    await expect(sealer.seal(dek, publicJwk, CONTEXT)).rejects.toThrow(TypeError);
  });
});
