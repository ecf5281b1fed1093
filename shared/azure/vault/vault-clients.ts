// The SDK's clients: one reader a vault, one cryptography client a key version.
import type { TokenCredential } from '@azure/identity';
import { CryptographyClient, KeyClient, type KeyClientOptions } from '@azure/keyvault-keys';
import { type KekId, keyUrl, parseVersion } from '../../domain/key-id.ts';
import { WRAP_ALGORITHM } from '../../domain/wrapped-dek.ts';
import type { CallOptions } from './ask-vault.ts';
import { UnexpectedAnswer } from './vault-fault.ts';

type PipelinePolicy = NonNullable<KeyClientOptions['additionalPolicies']>[number]['policy'];

export interface VaultClients {
  readerOf(vault: string): KeyClient;
  /** The bytes as the SDK gives them. Throws whatever it throws. */
  unwrap(kek: KekId, version: string, ciphertext: Uint8Array, options: CallOptions): Promise<unknown>;
}

interface Unwrapper {
  readonly client: CryptographyClient;
  /** Settles with the client's first call; null before. */
  first: Promise<unknown> | null;
}

/** Clients are cheap to make again, at the price of one unauthorized round trip. */
const MOST_UNWRAPPERS = 2_000;

export function makeVaultClients(options: {
  readonly credential: TokenCredential;
  readonly verifyChallenge: boolean;
  readonly caPem: string | undefined;
}): VaultClients {
  // Connections are kept per object given as tlsOptions.
  const tls = options.caPem === undefined ? {} : { tlsOptions: { ca: options.caPem } };
  const clientOptions = (vault: string): KeyClientOptions => ({
    ...tls,
    disableChallengeResourceVerification: !options.verifyChallenge,
    // Retries are ours: the SDK's would outlast every deadline, and hide 429s from the limiter.
    retryOptions: { maxRetries: 0 },
    redirectOptions: { maxRetries: 0 },
    userAgentOptions: { userAgentPrefix: 'pg-cmk' },
    additionalPolicies: [{ policy: pinHost(vault), position: 'perRetry' }],
  });
  const readers = new Map<string, KeyClient>();
  const unwrappers = new Map<string, Unwrapper>();

  const unwrapperOf = (kek: KekId, version: string): Unwrapper => {
    // Invariant I-09: a client that uses a key is made for a concrete version; without one, it would report the
    // version that it saw first whichever did the work.
    const id = keyUrl(kek, parseVersion(version));
    const known = unwrappers.get(id);
    unwrappers.delete(id);
    const unwrapper = known ?? {
      client: makeCryptographyClient(kek, version, options.credential, clientOptions(kek.vault)),
      first: null,
    };
    unwrappers.set(id, unwrapper);
    const [oldest] = unwrappers.keys();
    if (unwrappers.size > MOST_UNWRAPPERS && oldest !== undefined) unwrappers.delete(oldest);
    return unwrapper;
  };

  return {
    readerOf(vault) {
      const known = readers.get(vault);
      if (known !== undefined) return known;
      const reader = new KeyClient(`https://${vault}`, options.credential, clientOptions(vault));
      readers.set(vault, reader);
      return reader;
    },
    async unwrap(kek, version, ciphertext, callOptions) {
      const unwrapper = unwrapperOf(kek, version);
      const call = async () =>
        (await unwrapper.client.unwrapKey(WRAP_ALGORITHM, ciphertext, callOptions)).result;
      // The first call of a client is sent without its body and then again with it, once the vault has said who
      // gives tokens. Calls beside it could end up with no body at all, so it goes alone.
      if (unwrapper.first !== null) {
        await unwrapper.first;
        return call();
      }
      const calling = call();
      unwrapper.first = Promise.race([calling, whenAborted(callOptions.abortSignal)]).catch(() => undefined);
      return calling;
    },
  };
}

/**
 * A client that unwraps under this version whatever its dates say, and asks nothing beforehand: the SDK looks at
 * the dates of the key it is given, and this one has none. (Key Vault itself unwraps under an expired version.)
 */
function makeCryptographyClient(
  kek: KekId,
  version: string,
  credential: TokenCredential,
  options: KeyClientOptions,
): CryptographyClient {
  const id = keyUrl(kek, version);
  const vaultUrl = `https://${kek.vault}`;
  const key = { id, name: kek.name, properties: { id, name: kek.name, version, vaultUrl } };
  return new CryptographyClient(key, credential, options);
}

/** Nothing is sent to another host than the vault, whatever a redirect or the link to a next page says. */
const pinHost = (vault: string): PipelinePolicy => ({
  name: 'pinHost',
  sendRequest(request, next) {
    if (new URL(request.url).host === vault) return next(request);
    throw new UnexpectedAnswer(`${vault} refers to another host`);
  },
});

const whenAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
