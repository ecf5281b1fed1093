// Holds a lease for as long as it is given: renews it at half its life, and says when it is lost.
import { describeError } from '../../shared/domain/errors.ts';
import type { Reason } from '../../shared/domain/reason.ts';
import { CliError } from '../cli-error.ts';
import { ApiProblem } from '../client.ts';
import { EXIT } from '../exit-codes.ts';
import type { HeldDek, Lease } from './ask-dek.ts';
import type { DekHost } from './host.ts';

export interface WatchDeps {
  /** Given up by the signal, when nobody waits for the answer any more. */
  readonly ask: (signal: AbortSignal) => Promise<HeldDek>;
  readonly host: Pick<DekHost, 'monotonicMs' | 'sleep' | 'random'>;
  /** One line for people. */
  readonly say: (line: string) => void;
  readonly onRenewed: (lease: Lease) => Promise<void>;
  readonly stop: AbortSignal;
}

export type WatchEnd =
  | { readonly kind: 'stopped' }
  /** `code`: of the refusal, or LeaseEnded: nobody renewed it in time. */
  | { readonly kind: 'lost'; readonly code: string; readonly message: string; readonly remedy: string };

/** Refusals that asking again doesn't change. */
const DEFINITIVE = ['DekRefused', 'VaultRefused', 'PrincipalMismatch', 'ServerNotFound', 'ServerDeleted'];

/**
 * The vault's refusals that the app itself doesn't act on before they are confirmed (design 5): a firewall or a role
 * that is being changed. The lease may run on; once the app has confirmed the loss it answers DekRefused.
 */
const UNCONFIRMED: readonly Reason[] = ['KeyNotFound', 'AccessDenied', 'FirewallDenied', 'VaultNotFound'];

/** Part of the lease after which it is renewed: a little sooner by chance, so that a fleet doesn't ask as one. */
const RENEW_AFTER = { part: 0.5, jitter: 0.1 };
/** From one try to the next: a twentieth of the lease, within these. */
const RETRY_MS = { part: 0.05, least: 1000, most: 15_000 };

/** Whether the DEK was refused for good, so that a lease is over before its time. */
export const isDefinitive = (error: unknown): error is ApiProblem =>
  error instanceof ApiProblem &&
  DEFINITIVE.includes(error.code) &&
  !(error.code === 'VaultRefused' && UNCONFIRMED.some((reason) => reason === error.members['reason']));

/**
 * Runs until the lease is lost or `stop` is aborted. What can't be asked counts as lost only when the lease ends;
 * that end is kept to, also while an answer is still out.
 */
export async function watchLease(deps: WatchDeps, first: Lease): Promise<WatchEnd> {
  const { host, say, stop } = deps;
  let lease = first;
  let nextAtMs = renewalOf(lease, host);
  let last: CliError | undefined;
  for (;;) {
    await host.sleep(Math.min(nextAtMs, lease.endsAtMs) - host.monotonicMs(), stop);
    if (stop.aborted) return { kind: 'stopped' };
    const leftMs = lease.endsAtMs - host.monotonicMs();
    if (leftMs <= 0) return toEnd(last);
    const renewed = await tryRenew(deps, lease, leftMs);
    if (stop.aborted) return { kind: 'stopped' };
    if (renewed.kind === 'renewed') {
      lease = renewed.lease;
      last = undefined;
      nextAtMs = renewalOf(lease, host);
      continue;
    }
    if (renewed.kind === 'late') return toEnd(last);
    const { error } = renewed;
    const { code, message, remedy } = error;
    if (isDefinitive(error)) return { kind: 'lost', code, message, remedy };
    last = error;
    const waitMs = retryOf(error, lease);
    nextAtMs = host.monotonicMs() + waitMs;
    const left = Math.max(0, Math.round((lease.endsAtMs - host.monotonicMs()) / 1000));
    say(
      `not renewed: ${message} (${code}); again in ${Math.ceil(waitMs / 1000)} s, the lease ends in ${left} s`,
    );
  }
}

type Renewal =
  | { readonly kind: 'renewed'; readonly lease: Lease }
  | { readonly kind: 'failed'; readonly error: CliError }
  | { readonly kind: 'late' };

async function tryRenew(deps: WatchDeps, before: Lease, leftMs: number): Promise<Renewal> {
  const ended = new AbortController();
  const over = AbortSignal.any([deps.stop, ended.signal]);
  const late = deps.host.sleep(leftMs, over).then((): Renewal => ({ kind: 'late' }));
  // Also an answer that nobody waits for any more is disposed of here.
  const renewal = renew(deps, before, over).catch(
    (error: unknown): Renewal => ({ kind: 'failed', error: toCliError(error) }),
  );
  try {
    return await Promise.race([renewal, late]);
  } finally {
    ended.abort();
  }
}

async function renew({ ask, onRenewed }: WatchDeps, before: Lease, over: AbortSignal): Promise<Renewal> {
  const held = await ask(over);
  using _dek = held.dek;
  const { lease } = held;
  // A server's DEK is made once: another one can't be what its data is encrypted with.
  if (lease.dekId !== before.dekId) {
    throw new CliError(
      'DekNotTrusted',
      `the app now gives another DEK: ${lease.dekId}, not ${before.dekId}`,
      {
        remedy: 'Look at the audit of the server. Its data needs the DEK that it was begun with.',
        exitCode: EXIT.unexpected,
      },
    );
  }
  if (!over.aborted) await onRenewed(lease);
  return { kind: 'renewed', lease };
}

const renewalOf = ({ beganAtMs, endsAtMs }: Lease, host: Pick<DekHost, 'random'>): number =>
  beganAtMs + (endsAtMs - beganAtMs) * (RENEW_AFTER.part - RENEW_AFTER.jitter * host.random());

function retryOf(error: CliError, { beganAtMs, endsAtMs }: Lease): number {
  const asked = error instanceof ApiProblem ? error.members['retryAfterSeconds'] : undefined;
  if (typeof asked === 'number' && asked > 0) return Math.max(asked * 1000, RETRY_MS.least);
  const part = (endsAtMs - beganAtMs) * RETRY_MS.part;
  return Math.min(Math.max(part, RETRY_MS.least), RETRY_MS.most);
}

const toEnd = (last: CliError | undefined): WatchEnd => ({
  kind: 'lost',
  code: 'LeaseEnded',
  message: `the lease ended and was not renewed${last === undefined ? '' : `: ${last.message} (${last.code})`}`,
  remedy: last?.remedy ?? 'Check that the app can be reached from here.',
});

const toCliError = (error: unknown): CliError =>
  error instanceof CliError
    ? error
    : new CliError('Unexpected', describeError(error), {
        remedy: 'Report it.',
        exitCode: EXIT.unexpected,
        cause: error,
      });
