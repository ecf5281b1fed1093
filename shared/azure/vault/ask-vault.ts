// One question to a vault: its deadline, its one retry, what was answered and when by the vault's clock.
import { lookup } from 'node:dns/promises';
import type { KekId } from '../../domain/key-id.ts';
import { isSameKek, keyUrl, parseKeyUrl } from '../../domain/key-id.ts';
import type { VaultAnswer, VaultFault } from '../../domain/vault-answer.ts';
import type { Clock } from '../../ports/runtime.ts';
import { TokenUnavailable } from './token-source.ts';
import {
  DeadlinePassed,
  type SeenResponse,
  toSeenResponse,
  toVaultFault,
  UnexpectedAnswer,
} from './vault-fault.ts';

/** What every operation of the SDK is given. */
export interface CallOptions {
  readonly abortSignal: AbortSignal;
  readonly onResponse: (response: Parameters<typeof toSeenResponse>[0]) => void;
}

export interface AskOptions {
  readonly timeoutMs: number;
  /** One more try after a reset or a 5xx, within the same deadline. */
  readonly retryOnce: boolean;
  readonly clock: Clock;
  /** Whether any other name resolves. */
  readonly resolveOtherName: () => Promise<boolean>;
  /** Whether calls are waiting for a token now: then the identity is what takes too long. */
  readonly isTokenAwaited: () => boolean;
}

const RETRY_PAUSE_MS = 200;

/**
 * The answer to `call`, whatever it does: what it throws becomes a fault, and what takes too long is given up.
 * `call` looks at the response it caused by `seen`.
 */
export async function askVault<T>(
  options: AskOptions,
  call: (callOptions: CallOptions, seen: () => SeenResponse | null) => Promise<T>,
): Promise<VaultAnswer<T>> {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(options.isTokenAwaited() ? new TokenUnavailable('no token in time') : new DeadlinePassed());
      controller.abort();
    }, options.timeoutMs);
  });
  // The SDK doesn't abort everything: the next page of a list, or a wait for a token.
  const attempt = async (): Promise<VaultAnswer<T>> => {
    let seen: SeenResponse | null = null;
    const onResponse: CallOptions['onResponse'] = (response) => {
      seen = toSeenResponse(response);
    };
    const vaultNow = () => seen?.date ?? null;
    try {
      const calling = call({ abortSignal: controller.signal, onResponse }, () => seen);
      return { ok: true, value: await Promise.race([calling, deadline]), vaultNow: vaultNow() };
    } catch (error) {
      return { ok: false, fault: toVaultFault(error, seen), vaultNow: vaultNow() };
    }
  };
  try {
    const first = await attempt();
    if (first.ok || !options.retryOnce || !mayPass(first.fault)) return await settleName(first, options);
    const paused = await Promise.race([
      options.clock.sleep(RETRY_PAUSE_MS).then(() => true),
      deadline.catch(() => false),
    ]);
    return paused ? await settleName(await attempt(), options) : first;
  } finally {
    clearTimeout(timer);
  }
}

const mayPass = (fault: VaultFault): boolean =>
  fault.kind === 'network' ? fault.cause === 'reset' : fault.kind === 'http' && fault.status >= 500;

/** A name that doesn't resolve says something about the vault only while other names do. */
async function settleName<T>(answer: VaultAnswer<T>, options: AskOptions): Promise<VaultAnswer<T>> {
  if (answer.ok || answer.fault.kind !== 'network' || answer.fault.cause !== 'vault-name') return answer;
  const othersResolve = await Promise.race([
    options.resolveOtherName().catch(() => false),
    options.clock.sleep(options.timeoutMs).then(() => false),
  ]);
  return othersResolve ? answer : { ...answer, fault: { kind: 'network', cause: 'dns' } };
}

/** Whether the name resolves that every token comes from. */
export const resolveLoginName = async (): Promise<boolean> =>
  (await lookup('login.microsoftonline.com').catch(() => null)) !== null;

/** @throws UnexpectedAnswer unless `id` is this key's, and this version's where one is given; returns its version */
export function assertSameKey(id: unknown, kek: KekId, version?: string): string {
  const url = readKeyUrl(id);
  if (url === null || url.version === null) throw new UnexpectedAnswer('the answer names no key version');
  if (isSameKek(url.kek, kek) && (version === undefined || url.version === version)) return url.version;
  throw new UnexpectedAnswer(
    `asked for ${keyUrl(kek, version)}, the answer is about ${keyUrl(url.kek, url.version)}`,
  );
}

function readKeyUrl(id: unknown) {
  try {
    return typeof id === 'string' ? parseKeyUrl(id) : null;
  } catch {
    return null;
  }
}
