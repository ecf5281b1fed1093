// The app's credential as the vault clients see it: one token for all of them, and failures that can be told from
// the vault's own.
import type { AccessToken, GetTokenOptions, TokenCredential } from '@azure/identity';
import type { Clock } from '../../ports/runtime.ts';

/** No token could be had from the identity. */
export class TokenUnavailable extends Error {
  override readonly name = 'TokenUnavailable';
}

export interface SharedTokens extends TokenCredential {
  /** Whether calls are waiting for a token now. */
  readonly isAwaited: () => boolean;
}

/** With less than this left, or once the identity says so, a token is renewed beside the calls that still use it. */
const RENEW_MS = 5 * 60_000;
/** With less than this left it isn't used any more. */
const SPENT_MS = 30_000;
const RENEW_AGAIN_MS = 30_000;

/**
 * Every client of the SDK has a token cache of its own, which asks with the abort signal of whichever call came
 * first, goes on asking until the token expires, and then fails where nobody listens, which ends the process. So
 * tokens are kept and renewed here, and the SDK is told of each that it expires at once: it asks for every call.
 */
export function shareTokens(
  credential: TokenCredential,
  options: { readonly timeoutMs: number; readonly clock: Clock },
): SharedTokens {
  const kept = new Map<string, AccessToken>();
  const pending = new Map<string, Promise<AccessToken>>();
  const renewAt = new Map<string, number>();
  let waiting = 0;

  const fetch = (key: string, scopes: string | string[], asked: GetTokenOptions): Promise<AccessToken> => {
    // Claims come with the refusal of a token: whoever has them waits for a new one.
    const request = `${key}|${asked.claims ?? ''}`;
    const running = pending.get(request);
    if (running !== undefined) return running;
    const fetching = fetchToken(credential, scopes, asked, options.timeoutMs)
      .then((token) => {
        kept.set(key, token);
        return token;
      })
      .finally(() => pending.delete(request));
    pending.set(request, fetching);
    return fetching;
  };

  const renew = (key: string, scopes: string | string[], asked: GetTokenOptions, now: number): void => {
    if (now < (renewAt.get(key) ?? 0)) return;
    renewAt.set(key, now + RENEW_AGAIN_MS);
    // What fails here is tried again, in the end by a call that waits for it.
    void fetch(key, scopes, asked).catch(() => undefined);
  };

  const wait = async (fetching: Promise<AccessToken>): Promise<AccessToken> => {
    waiting += 1;
    try {
      return await fetching;
    } finally {
      waiting -= 1;
    }
  };

  return {
    isAwaited: () => waiting > 0,
    async getToken(scopes, asked = {}) {
      const now = options.clock.now().getTime();
      const key = JSON.stringify([scopes, asked.tenantId, asked.enableCae]);
      const token = kept.get(key);
      const left = (token?.expiresOnTimestamp ?? 0) - now;
      if (token === undefined || asked.claims !== undefined || left < SPENT_MS) {
        return expiringAtOnce(await wait(fetch(key, scopes, asked)), now);
      }
      if (left < RENEW_MS || (token.refreshAfterTimestamp ?? Infinity) <= now) {
        renew(key, scopes, asked, now);
      }
      return expiringAtOnce(token, now);
    },
  };
}

const expiringAtOnce = ({ token, tokenType }: AccessToken, now: number): AccessToken => ({
  token,
  expiresOnTimestamp: now,
  ...(tokenType === undefined ? {} : { tokenType }),
});

async function fetchToken(
  credential: TokenCredential,
  scopes: string | string[],
  { abortSignal: _, ...options }: GetTokenOptions,
  timeoutMs: number,
): Promise<AccessToken> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new TokenUnavailable(`no token within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    const token = await Promise.race([credential.getToken(scopes, options), late]);
    if (token === null) throw new TokenUnavailable('the credential gave no token');
    return token;
  } catch (cause) {
    if (cause instanceof TokenUnavailable) throw cause;
    throw new TokenUnavailable('the credential failed', { cause });
  } finally {
    clearTimeout(timer);
  }
}
