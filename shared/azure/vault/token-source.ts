// The app's credential as the vault clients see it: one token for all of them, and failures that can be told from
// the vault's own.
import type { AccessToken, GetTokenOptions, TokenCredential } from '@azure/core-auth';
import type { Clock } from '../../ports/runtime.ts';

/** No token could be had from the identity. */
export class TokenUnavailable extends Error {
  override readonly name = 'TokenUnavailable';
}

/** A token is replaced when it has less than this left: longer than the SDK's own refresh window of two minutes. */
const MARGIN_MS = 5 * 60_000;

/**
 * Every client of the SDK keeps tokens to itself and asks with its own calls' abort signal, which then spoils the
 * refreshes that outlive the call. Here tokens and requests under way are shared, and only `timeoutMs` ends one.
 */
export function shareTokens(
  credential: TokenCredential,
  options: { readonly timeoutMs: number; readonly clock: Clock },
): TokenCredential {
  const kept = new Map<string, AccessToken>();
  const pending = new Map<string, Promise<AccessToken>>();
  const isFresh = (token: AccessToken): boolean => {
    const now = options.clock.now().getTime();
    return token.expiresOnTimestamp - MARGIN_MS > now && (token.refreshAfterTimestamp ?? Infinity) > now;
  };
  return {
    async getToken(scopes, asked = {}) {
      const key = JSON.stringify([scopes, asked.tenantId, asked.enableCae, asked.claims]);
      const token = kept.get(key);
      // Claims come with the refusal of a token: the next one must be new.
      if (token !== undefined && asked.claims === undefined && isFresh(token)) return token;
      const request = pending.get(key) ?? fetchToken(credential, scopes, asked, options.timeoutMs);
      pending.set(key, request);
      try {
        const fetched = await request;
        kept.set(JSON.stringify([scopes, asked.tenantId, asked.enableCae, undefined]), fetched);
        return fetched;
      } finally {
        pending.delete(key);
      }
    },
  };
}

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
