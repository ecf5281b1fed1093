// The real SDK, and bare HTTPS, against an emulator.
import { once } from 'node:events';
import { Agent, request } from 'node:https';
import { CryptographyClient, KeyClient, type KeyVaultKey } from '@azure/keyvault-keys';
import { afterAll, beforeAll } from 'vitest';
import type { EmulatedVault, VaultOptions } from '../../../local/key-vault/emulated-vault.ts';
import type { VaultEvent } from '../../../local/key-vault/events.ts';
import {
  startVaultEmulator,
  type VaultEmulator,
  type VaultEmulatorOptions,
} from '../../../local/key-vault/vault-emulator.ts';

export interface RawAnswer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
  readonly json: unknown;
}

export interface RawRequest {
  readonly method?: string;
  readonly body?: unknown;
  /** null: no Authorization. */
  readonly token?: string | null;
}

export interface Fixture {
  readonly emulator: () => VaultEmulator;
  /** A vault of its own for each test. */
  addVault(options?: VaultOptions): Promise<EmulatedVault>;
  keyClient(vault: EmulatedVault, token?: string): KeyClient;
  /** With a key object CryptographyClient asks for no key; without its dates it doesn't judge them. */
  cryptoClient(key: KeyVaultKey | string): CryptographyClient;
  /** `path` with its api-version; rejects on a broken connection. */
  send(vault: EmulatedVault, path: string, request?: RawRequest): Promise<RawAnswer>;
  eventsOf(vault: EmulatedVault): readonly VaultEvent[];
}

export const DAY = 86_400;

/** One emulator for the file; its end is the file's. */
export function useEmulator(options: VaultEmulatorOptions = {}): Fixture {
  let emulator: VaultEmulator | undefined;
  let count = 0;
  const events: VaultEvent[] = [];
  const agent = new Agent({ keepAlive: true });
  const started = (): VaultEmulator => {
    if (emulator === undefined) throw new Error('the emulator has not started');
    return emulator;
  };
  const sdkOptions = { tlsOptions: { ca: '' } };
  const clientOptions = {
    ...sdkOptions,
    disableChallengeResourceVerification: true,
    retryOptions: { maxRetries: 0 },
  };
  const credential = (token: string) => ({
    getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_600_000 }),
  });

  beforeAll(async () => {
    emulator = await startVaultEmulator(options);
    emulator.onEvent((event) => events.push(event));
    sdkOptions.tlsOptions.ca = emulator.caPem;
  });
  afterAll(async () => {
    agent.destroy();
    await emulator?.close();
  });

  return {
    emulator: started,
    addVault: (vaultOptions) => started().addVault(`vault-${++count}`, vaultOptions),
    keyClient: (vault, token = 'token') => new KeyClient(vault.url, credential(token), clientOptions),
    cryptoClient: (key) =>
      typeof key === 'string'
        ? new CryptographyClient(key, credential('token'), clientOptions)
        : new CryptographyClient(withoutDates(key), credential('token'), clientOptions),
    async send(vault, path, { method = 'GET', body, token = 'token' } = {}) {
      const outgoing = request(`${vault.url}${path}`, {
        method,
        agent,
        ca: started().caPem,
        headers: token === null ? {} : { authorization: `Bearer ${token}` },
      });
      outgoing.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
      const [response] = await once(outgoing, 'response');
      let text = '';
      for await (const chunk of response) text += chunk;
      const isJson = String(response.headers['content-type']).includes('json') && text !== '';
      return {
        status: response.statusCode,
        headers: response.headers,
        text,
        json: isJson ? JSON.parse(text) : null,
      };
    },
    eventsOf: (vault) => events.filter((event) => event.data.VaultName === vault.name),
  };
}

function withoutDates(key: KeyVaultKey): KeyVaultKey {
  const { expiresOn: _expiresOn, notBefore: _notBefore, ...properties } = key.properties;
  return { ...key, properties };
}

export interface Refusal {
  readonly status: unknown;
  readonly code: unknown;
  readonly inner: unknown;
}

/** What the SDK tells of a refusal: the inner code is where azure-facts 0 says. */
export async function refusalOf(work: Promise<unknown>): Promise<Refusal> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error === null) throw new Error('it was not refused');
  const details = member(member(error, 'details'), 'error');
  const inner = member(member(details, 'innerError'), 'code') ?? null;
  return {
    status: member(error, 'statusCode'),
    code: member(details, 'code') ?? member(error, 'code'),
    inner,
  };
}

export function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
