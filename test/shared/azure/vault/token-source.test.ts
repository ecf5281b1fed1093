import type { AccessToken, GetTokenOptions } from '@azure/identity';
import { describe, expect, test } from 'vitest';
import { shareTokens, TokenUnavailable } from '../../../../shared/azure/vault/token-source.ts';
import { FakeClock } from '../../../fakes/runtime.ts';

const SCOPE = 'https://vault.azure.net/.default';

function setUp(give?: (call: number) => Promise<AccessToken | null>) {
  const clock = new FakeClock();
  const asked: GetTokenOptions[] = [];
  const inAnHour = () => ({
    token: `t${asked.length}`,
    expiresOnTimestamp: clock.now().getTime() + 3_600_000,
  });
  const credential = shareTokens(
    {
      async getToken(_scopes, options = {}) {
        asked.push(options);
        return give === undefined ? inAnHour() : give(asked.length);
      },
    },
    { timeoutMs: 50, clock },
  );
  return { clock, asked, credential };
}

describe('shareTokens', () => {
  test('asks once for all who ask at the same time, and keeps the token', async () => {
    const { asked, credential } = setUp();
    await Promise.all([credential.getToken(SCOPE), credential.getToken(SCOPE)]);
    expect((await credential.getToken(SCOPE))?.token).toBe('t1');
    expect(asked).toHaveLength(1);
  });

  test('renews with less than five minutes left, beside the calls', async () => {
    const { clock, asked, credential } = setUp();
    await credential.getToken(SCOPE);
    clock.advance(3_600 - 299);
    expect((await credential.getToken(SCOPE))?.token).toBe('t1');
    await new Promise(setImmediate);
    expect((await credential.getToken(SCOPE))?.token).toBe('t2');
    expect(asked).toHaveLength(2);
  });

  test('renews when the identity says so', async () => {
    const { clock, credential } = setUp(async (call) => {
      const now = clock.now().getTime();
      return { token: `t${call}`, expiresOnTimestamp: now + 3_600_000, refreshAfterTimestamp: now + 60_000 };
    });
    await credential.getToken(SCOPE);
    clock.advance(61);
    await credential.getToken(SCOPE);
    await new Promise(setImmediate);
    expect((await credential.getToken(SCOPE))?.token).toBe('t2');
  });

  test('uses the old one while renewing fails, tries twice a minute, and fails when it is spent', async () => {
    const { clock, asked, credential } = setUp(async (call) => {
      if (call > 1) throw new Error('no identity');
      return { token: 't1', expiresOnTimestamp: clock.now().getTime() + 3_600_000 };
    });
    await credential.getToken(SCOPE);
    clock.advance(3_600 - 299);
    for (let second = 0; second < 240; second += 1) {
      expect((await credential.getToken(SCOPE))?.token).toBe('t1');
      clock.advance(1);
    }
    expect(asked).toHaveLength(1 + 8);
    clock.advance(30);
    await expect(credential.getToken(SCOPE)).rejects.toBeInstanceOf(TokenUnavailable);
  });

  test('tells the SDK to keep none', async () => {
    const { clock, credential } = setUp();
    expect((await credential.getToken(SCOPE))?.expiresOnTimestamp).toBe(clock.now().getTime());
  });

  test('keeps tokens of tenants and scopes apart', async () => {
    const { asked, credential } = setUp();
    await credential.getToken(SCOPE, { tenantId: 'a' });
    await credential.getToken(SCOPE, { tenantId: 'b' });
    await credential.getToken('other');
    expect(asked).toHaveLength(3);
  });

  test('claims make a new token, which replaces the one that was refused', async () => {
    const { credential } = setUp();
    await credential.getToken(SCOPE);
    expect((await credential.getToken(SCOPE, { claims: '{}' }))?.token).toBe('t2');
    expect((await credential.getToken(SCOPE))?.token).toBe('t2');
  });

  test('hands no caller’s abort signal on', async () => {
    const { asked, credential } = setUp();
    await credential.getToken(SCOPE, { abortSignal: AbortSignal.abort() });
    expect(asked).toEqual([{}]);
  });

  test.each([
    ['fails', () => Promise.reject(new Error('no identity'))],
    ['gives nothing', async () => null],
    ['never answers', () => new Promise<never>(() => {})],
  ])('a credential that %s has no token, and is asked again next time', async (_, give) => {
    const { asked, credential } = setUp(give);
    await expect(credential.getToken(SCOPE)).rejects.toBeInstanceOf(TokenUnavailable);
    await expect(credential.getToken(SCOPE)).rejects.toBeInstanceOf(TokenUnavailable);
    expect(asked).toHaveLength(2);
  });
});
