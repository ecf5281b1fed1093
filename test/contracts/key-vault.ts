// What every KeyVault with its LocalWrap must do: run on the fake, and on the real adapter against the emulator.
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { KekId } from '../../shared/domain/key-id.ts';
import type { VaultAnswer, VaultFault } from '../../shared/domain/vault-answer.ts';
import type { KeyVault, LocalWrap } from '../../shared/ports/key-vault.ts';

export interface VersionChange {
  readonly enabled?: boolean;
  readonly notBefore?: Date | null;
  readonly expiresOn?: Date | null;
}

export type Trouble =
  | 'ForbiddenByRbac'
  | 'ForbiddenByPolicy'
  | 'AccessDenied'
  | 'ForbiddenByFirewall'
  | 'ForbiddenByConnection'
  | 'throttled'
  | 'error503'
  | 'timeout'
  | 'refused'
  | 'reset'
  | 'garbage'
  | 'wrongKey';

/** A vault of the test's own, with a key that has no version yet, and the customer's hands on it. */
export interface VaultUnderTest {
  readonly vault: KeyVault;
  readonly localWrap: LocalWrap;
  readonly kek: KekId;
  readonly now: () => Date;
  createVersion(
    options?: VersionChange & { readonly hsm?: boolean; readonly operations?: readonly string[] },
  ): Promise<string>;
  updateVersion(version: string, change: VersionChange): Promise<void>;
  deleteKey(): Promise<void>;
  recoverKey(): Promise<void>;
  purgeKey(): Promise<void>;
  trouble(trouble: Trouble | null): Promise<void>;
}

export function describeKeyVaultContract(name: string, open: () => Promise<VaultUnderTest>): void {
  describe(`${name}: a KeyVault`, () => {
    describe('describe', () => {
      test('lists every version with its attributes and names the newest', async () => {
        const { vault, kek, createVersion, now } = await open();
        const expiresOn = wholeSeconds(now(), 3_600);
        const notBefore = wholeSeconds(now(), -3_600);
        const first = await createVersion();
        const second = await createVersion({ enabled: false, notBefore, expiresOn });
        const description = unwrapAnswer(await vault.describe(kek));
        const byVersion = new Map(description.versions.map((one) => [one.version, one.attributes]));
        expect([...byVersion.keys()].sort()).toEqual([first, second].sort());
        expect(byVersion.get(first)).toMatchObject({ enabled: true, notBefore: null, expiresOn: null });
        expect(byVersion.get(second)).toMatchObject({ enabled: false, notBefore, expiresOn });
        expect(byVersion.get(second)?.createdOn).toBeInstanceOf(Date);
        expect(description.newest).toBe(second);
      });

      test('says when a version was last changed, in whole seconds', async () => {
        const { vault, kek, createVersion, updateVersion, now } = await open();
        const version = await createVersion();
        const since = wholeSeconds(now(), 0);
        await updateVersion(version, { enabled: false });
        const [described] = unwrapAnswer(await vault.describe(kek)).versions;
        expect(described?.updatedOn?.getTime()).toBeGreaterThanOrEqual(since.getTime());
        expect(described?.updatedOn?.getTime()).toBeLessThanOrEqual(now().getTime());
        expect(described?.updatedOn?.getMilliseconds()).toBe(0);
      });

      test('tells the newest among versions made in one second, and across pages', async () => {
        const { vault, kek, createVersion } = await open();
        const versions: string[] = [];
        for (let made = 0; made < 30; made += 1) versions.push(await createVersion());
        const description = unwrapAnswer(await vault.describe(kek));
        expect(description.versions).toHaveLength(30);
        expect(description.newest).toBe(versions.at(-1));
      });

      test('answers 404 for a key that does not exist', async () => {
        const { vault, kek } = await open();
        expect(faultOf(await vault.describe(kek))).toMatchObject({ kind: 'http', status: 404 });
      });
    });

    describe('describeVersion', () => {
      test.each([
        [false, 'RSA'],
        [true, 'RSA-HSM'],
      ])('shows attributes, public half and operations (hsm: %s)', async (hsm, keyType) => {
        const { vault, kek, createVersion } = await open();
        const version = await createVersion({ hsm });
        const described = unwrapAnswer(await vault.describeVersion(kek, version));
        expect(described).toMatchObject({ keyType, bits: 2048, publicKey: { keyType, bits: 2048 } });
        expect(described.publicKey?.spki.length).toBeGreaterThan(0);
        expect(described.attributes.enabled).toBe(true);
        expect(described.operations).toContain('unwrapKey');
        expect(described.recovery).toMatchObject({ recoverable: true, days: 90 });
      });

      test('shows that a version is disabled', async () => {
        const { vault, kek, createVersion } = await open();
        const version = await createVersion({ enabled: false });
        const described = unwrapAnswer(await vault.describeVersion(kek, version));
        expect(described.attributes.enabled).toBe(false);
      });

      test('answers 404 for a version that does not exist', async () => {
        const { vault, kek, createVersion } = await open();
        await createVersion();
        const answer = await vault.describeVersion(kek, 'f'.repeat(32));
        expect(faultOf(answer)).toMatchObject({ kind: 'http', status: 404 });
      });

      test('Invariant I-09: refuses what is no concrete version', async () => {
        const { vault, kek, createVersion } = await open();
        await createVersion();
        for (const version of ['', 'latest']) {
          await expect(async () => vault.describeVersion(kek, version)).rejects.toMatchObject({
            code: 'InvalidKeyId',
          });
        }
      });
    });

    describe('askDeleted', () => {
      test('tells absent, deleted, recovered and purged apart', async () => {
        const under = await open();
        expect(await under.vault.askDeleted(under.kek)).toBe('absent');
        await under.createVersion();
        expect(await under.vault.askDeleted(under.kek)).toBe('absent');
        await under.deleteKey();
        expect(await under.vault.askDeleted(under.kek)).toBe('deleted');
        await under.recoverKey();
        expect(await under.vault.askDeleted(under.kek)).toBe('absent');
        await under.deleteKey();
        await under.purgeKey();
        expect(await under.vault.askDeleted(under.kek)).toBe('absent');
      });

      test.each<Trouble>(['ForbiddenByRbac', 'error503', 'refused', 'garbage', 'wrongKey'])(
        'says nothing under %s',
        async (trouble) => {
          const under = await open();
          await under.createVersion();
          await under.deleteKey();
          await under.trouble(trouble);
          expect(await under.vault.askDeleted(under.kek)).toBe('unsaid');
        },
      );
    });

    describe('unwrap', () => {
      test.each([32, 64])('gives back the %i bytes that were wrapped', async (length) => {
        for (const use of ['probe', 'rewrap'] as const) {
          const under = await open();
          const version = await under.createVersion();
          const { plaintext, ciphertext } = await wrapSome(under, version, length);
          const answer = await under.vault.unwrap(under.kek, version, ciphertext, use);
          expect(Buffer.from(unwrapAnswer(answer))).toEqual(plaintext);
          expect(answer.vaultNow).toBeInstanceOf(Date);
        }
      });

      test('the bytes are the caller’s own: zeroing them spoils no later unwrap', async () => {
        const under = await open();
        const version = await under.createVersion();
        const { plaintext, ciphertext } = await wrapSome(under, version);
        unwrapAnswer(await under.vault.unwrap(under.kek, version, ciphertext, 'probe')).fill(0);
        const again = unwrapAnswer(await under.vault.unwrap(under.kek, version, ciphertext, 'probe'));
        expect(Buffer.from(again)).toEqual(plaintext);
      });

      test('works under an old version after a rotation, and only under its own', async () => {
        const under = await open();
        const old = await under.createVersion();
        const fresh = await under.createVersion();
        const { plaintext, ciphertext } = await wrapSome(under, old);
        const answer = await under.vault.unwrap(under.kek, old, ciphertext, 'probe');
        expect(Buffer.from(unwrapAnswer(answer))).toEqual(plaintext);
        const wrong = await under.vault.unwrap(under.kek, fresh, ciphertext, 'probe');
        expect(faultOf(wrong)).toMatchObject({ kind: 'http', status: 400 });
      });

      test.each([
        ['expired', { expiresOn: -3_600 }],
        ['not yet valid', { notBefore: 3_600 }],
      ])('works under a version that is %s', async (_, dates) => {
        const under = await open();
        const version = await under.createVersion();
        const { plaintext, ciphertext } = await wrapSome(under, version);
        const change = Object.entries(dates).map(([date, seconds]) => [
          date,
          wholeSeconds(under.now(), seconds),
        ]);
        await under.updateVersion(version, Object.fromEntries(change));
        for (const use of ['probe', 'rewrap'] as const) {
          const answer = await under.vault.unwrap(under.kek, version, ciphertext, use);
          expect(Buffer.from(unwrapAnswer(answer))).toEqual(plaintext);
        }
      });

      test('is refused while the version is disabled, and works again once it is enabled', async () => {
        const under = await open();
        const version = await under.createVersion();
        const { plaintext, ciphertext } = await wrapSome(under, version);
        await under.updateVersion(version, { enabled: false });
        const refused = await under.vault.unwrap(under.kek, version, ciphertext, 'probe');
        expect(faultOf(refused)).toMatchObject({ kind: 'http', status: 403, innerCode: 'KeyDisabled' });
        expect(refused.vaultNow).toBeInstanceOf(Date);
        await under.updateVersion(version, { enabled: true });
        const answer = await under.vault.unwrap(under.kek, version, ciphertext, 'probe');
        expect(Buffer.from(unwrapAnswer(answer))).toEqual(plaintext);
      });

      test('is refused where the key may not unwrap', async () => {
        const under = await open();
        const version = await under.createVersion({ operations: ['wrapKey'] });
        const { ciphertext } = await wrapSome(under, version);
        const refused = await under.vault.unwrap(under.kek, version, ciphertext, 'probe');
        expect(faultOf(refused)).toMatchObject({ status: 403, innerCode: 'KeyOperationForbidden' });
      });

      test('answers 404 while the key is deleted, works when recovered, 404 when purged', async () => {
        const under = await open();
        const version = await under.createVersion();
        const { plaintext, ciphertext } = await wrapSome(under, version);
        const probe = () => under.vault.unwrap(under.kek, version, ciphertext, 'probe');
        await under.deleteKey();
        expect(faultOf(await probe())).toMatchObject({ kind: 'http', status: 404, code: 'KeyNotFound' });
        await under.recoverKey();
        expect(Buffer.from(unwrapAnswer(await probe()))).toEqual(plaintext);
        await under.deleteKey();
        await under.purgeKey();
        expect(faultOf(await probe())).toMatchObject({ kind: 'http', status: 404, code: 'KeyNotFound' });
      });

      test('many at once, from the first call on', async () => {
        const under = await open();
        const version = await under.createVersion();
        const wrapped = await Promise.all(Array.from({ length: 24 }, () => wrapSome(under, version, 64)));
        const answers = await Promise.all(
          wrapped.map(({ ciphertext }, index) =>
            under.vault.unwrap(under.kek, version, ciphertext, index % 2 === 0 ? 'rewrap' : 'probe'),
          ),
        );
        expect(answers.map((answer) => Buffer.from(unwrapAnswer(answer)))).toEqual(
          wrapped.map(({ plaintext }) => plaintext),
        );
      });

      test('Invariant I-09: refuses what is no concrete version', async () => {
        const under = await open();
        const version = await under.createVersion();
        const { ciphertext } = await wrapSome(under, version);
        for (const text of ['', 'latest']) {
          await expect(async () =>
            under.vault.unwrap(under.kek, text, ciphertext, 'probe'),
          ).rejects.toMatchObject({ code: 'InvalidKeyId' });
        }
      });
    });

    describe('in trouble', () => {
      test.each<[Trouble, Partial<Record<string, unknown>>]>([
        ['ForbiddenByRbac', { kind: 'http', status: 403, innerCode: 'ForbiddenByRbac' }],
        ['ForbiddenByPolicy', { kind: 'http', status: 403, innerCode: 'ForbiddenByPolicy' }],
        ['AccessDenied', { kind: 'http', status: 403, innerCode: 'AccessDenied' }],
        ['ForbiddenByFirewall', { kind: 'http', status: 403, innerCode: 'ForbiddenByFirewall' }],
        ['ForbiddenByConnection', { kind: 'http', status: 403, innerCode: 'ForbiddenByConnection' }],
        ['throttled', { kind: 'http', status: 429, code: 'Throttled' }],
        ['error503', { kind: 'http', status: 503 }],
        ['timeout', { kind: 'network', cause: 'timeout' }],
        // A connection that was open before ends with a reset.
        ['refused', { kind: 'network', cause: expect.stringMatching(/^(refused|reset)$/) }],
        ['reset', { kind: 'network', cause: 'reset' }],
        ['garbage', { kind: 'answer' }],
        ['wrongKey', { kind: 'answer' }],
      ])('%s is a value, and passes', async (trouble, expected) => {
        const under = await open();
        const version = await under.createVersion();
        const { plaintext, ciphertext } = await wrapSome(under, version);
        await under.trouble(trouble);
        const { vault, kek } = under;
        const answers = await Promise.all([
          vault.describe(kek),
          vault.describeVersion(kek, version),
          vault.unwrap(kek, version, ciphertext, 'probe'),
        ]);
        for (const answer of answers) {
          expect(faultOf(answer)).toMatchObject(expected);
          if (expected['kind'] === 'network') expect(answer.vaultNow).toBeNull();
          if (expected['kind'] === 'http') expect(answer.vaultNow).toBeInstanceOf(Date);
        }
        await under.trouble(null);
        const healed = await vault.unwrap(kek, version, ciphertext, 'probe');
        expect(Buffer.from(unwrapAnswer(healed))).toEqual(plaintext);
      });
    });
  });
}

async function wrapSome(under: VaultUnderTest, version: string, length = 32) {
  const { publicKey } = unwrapAnswer(await under.vault.describeVersion(under.kek, version));
  if (publicKey === null) throw new Error('nothing can be wrapped under it');
  const plaintext = randomBytes(length);
  return { plaintext, ciphertext: await under.localWrap.wrap(publicKey, Uint8Array.from(plaintext)) };
}

const wholeSeconds = (from: Date, offsetSeconds: number): Date =>
  new Date((Math.floor(from.getTime() / 1000) + offsetSeconds) * 1000);

export function unwrapAnswer<T>(answer: VaultAnswer<T>): T {
  if (answer.ok) return answer.value;
  throw new Error(`expected an answer, got ${JSON.stringify(answer.fault)}`);
}

export function faultOf(answer: VaultAnswer<unknown>): VaultFault {
  if (!answer.ok) return answer.fault;
  throw new Error('expected a fault, got an answer');
}
