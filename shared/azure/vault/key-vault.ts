// The KeyVault port on Azure Key Vault, by the real SDK; what it gets wrong is said where it is worked around.
import type { TokenCredential } from '@azure/identity';
import * as z from 'zod';
import { type KekId, keyUrl, parseVersion } from '../../domain/key-id.ts';
import { type Lane, makeLane } from '../../domain/lane.ts';
import type { VaultAnswer } from '../../domain/vault-answer.ts';
import type { KeyVault, PublicKey, UnwrapUse } from '../../ports/key-vault.ts';
import type { Clock } from '../../ports/runtime.ts';
import type { Meter, VaultCallKind } from '../../ports/telemetry.ts';
import { type AskOptions, askVault, assertSameKey, resolveLoginName } from './ask-vault.ts';
import { makeVaultLimiter, type VaultLimiter } from './limiter.ts';
import { askDeletedKey, describeKey, describeKeyVersion } from './read-key.ts';
import { shareTokens } from './token-source.ts';
import { makeVaultClients } from './vault-clients.ts';
import { UnexpectedAnswer } from './vault-fault.ts';
import { ceilingOf, costOf, limitClassOf, type VaultLimits } from './vault-limits.ts';

export interface KeyVaultOptions {
  readonly credential: TokenCredential;
  /** Whether a vault may name only its own domain as the one that tokens are for. Off only for an emulator. */
  readonly verifyChallenge: boolean;
  readonly limits: VaultLimits;
  /** Of every probe and read; a rewrap's unwrap has as long once it is sent. Default 5,000. */
  readonly probeTimeoutMs?: number;
  /** Probes in flight per vault, and releases and reads likewise. Default 8. */
  readonly probesInFlight?: number;
  /** Unwraps for rewraps in flight per vault. Default 32. */
  readonly rewrapsInFlight?: number;
  /** Whether any name but the vault's resolves; by default that of Entra's token endpoint. */
  readonly resolveOtherName?: () => Promise<boolean>;
  /** Certificate authorities to trust instead of the usual ones, for an emulator. */
  readonly caPem?: string;
  readonly clock: Clock;
  readonly meter: Meter;
}

interface VaultTraffic {
  readonly probes: Lane;
  readonly releases: Lane;
  readonly reads: Lane;
  readonly limiter: VaultLimiter;
}

/** How long a version whose type couldn't be read is taken for one in an HSM, the slower kind. */
const GUESS_MS = 60_000;

export function makeKeyVault(options: KeyVaultOptions): KeyVault {
  const { clock, meter, limits } = options;
  const timeoutMs = options.probeTimeoutMs ?? 5_000;
  const probesInFlight = options.probesInFlight ?? 8;
  const credential = shareTokens(options.credential, { timeoutMs, clock });
  const clients = makeVaultClients({
    credential,
    verifyChallenge: options.verifyChallenge,
    caPem: options.caPem,
  });
  const asking = {
    timeoutMs,
    clock,
    resolveOtherName: options.resolveOtherName ?? resolveLoginName,
    isTokenAwaited: credential.isAwaited,
  };
  const once: AskOptions = { ...asking, retryOnce: false };
  const twice: AskOptions = { ...asking, retryOnce: true };
  const vaults = new Map<string, VaultTraffic>();
  const beingTyped = new Map<string, Promise<unknown>>();
  const keyTypes = new Map<string, { readonly keyType: PublicKey['keyType']; readonly until: number }>();

  const trafficOf = (vault: string): VaultTraffic => {
    const known = vaults.get(vault);
    if (known !== undefined) return known;
    const concurrency = options.rewrapsInFlight ?? 32;
    const traffic = {
      probes: makeLane(probesInFlight),
      releases: makeLane(probesInFlight),
      reads: makeLane(probesInFlight),
      limiter: makeVaultLimiter({ ceiling: ceilingOf(limits), concurrency, clock }),
    };
    vaults.set(vault, traffic);
    return traffic;
  };

  const counted = <T>(kind: VaultCallKind, answer: VaultAnswer<T>): VaultAnswer<T> => {
    meter.count('pgcmk.vault.calls', 1, { kind, outcome: outcomeOf(answer) });
    return answer;
  };

  const describeVersion: KeyVault['describeVersion'] = async (kek, version) => {
    const answer = await trafficOf(kek.vault).reads.run(() =>
      describeKeyVersion(clients.readerOf(kek.vault), kek, version, twice),
    );
    // A key that nothing is wrapped under counts as the slower kind: what is tried with it is refused anyhow.
    const known = answer.ok
      ? { keyType: answer.value.publicKey?.keyType ?? 'RSA-HSM', until: Infinity }
      : { keyType: 'RSA-HSM' as const, until: clock.now().getTime() + GUESS_MS };
    if (answer.ok || keyTypes.get(keyUrl(kek, version))?.until !== Infinity) {
      keyTypes.set(keyUrl(kek, version), known);
    }
    return counted('describeVersion', answer);
  };

  const keyTypeOf = async (kek: KekId, version: string): Promise<PublicKey['keyType']> => {
    const id = keyUrl(kek, version);
    const known = keyTypes.get(id);
    if (known !== undefined && known.until > clock.now().getTime()) return known.keyType;
    // Many unwraps ask at once when a range begins: one call tells them all.
    const asking =
      beingTyped.get(id) ?? describeVersion(kek, version).finally(() => void beingTyped.delete(id));
    beingTyped.set(id, asking);
    await asking;
    return keyTypes.get(id)?.keyType ?? 'RSA-HSM';
  };

  const unwrapOnce = async (
    kek: KekId,
    version: string,
    ciphertext: Uint8Array,
    use: UnwrapUse,
    ask: AskOptions,
  ) =>
    counted(
      use,
      await askVault(ask, async (callOptions, seen) => {
        const bytes = toOwnBytes(await clients.unwrap(kek, version, ciphertext, callOptions));
        if (callOptions.abortSignal.aborted) bytes.fill(0);
        // The SDK reports the id that it asked for; which key did the work only the answer itself says.
        assertKid(seen()?.body, kek, version, bytes);
        return bytes;
      }),
    );

  return {
    async describe(kek) {
      const answer = await trafficOf(kek.vault).reads.run(() =>
        describeKey(clients.readerOf(kek.vault), kek, twice),
      );
      return counted('describe', answer);
    },
    describeVersion,
    async askDeleted(kek) {
      const answer = await trafficOf(kek.vault).reads.run(() =>
        askDeletedKey(clients.readerOf(kek.vault), kek, twice),
      );
      meter.count('pgcmk.vault.calls', 1, {
        kind: 'askDeleted',
        outcome: answer === 'unsaid' ? 'unsaid' : 'ok',
      });
      return answer;
    },
    async unwrap(kek, text, ciphertext, use) {
      // Invariant I-09: a call that uses a key names a concrete version, never "the latest".
      const version = parseVersion(text);
      const bytes = Buffer.from(ciphertext, 'base64url');
      const { probes, releases, limiter } = trafficOf(kek.vault);
      if (use === 'rewrap') {
        const cost = costOf(limitClassOf(await keyTypeOf(kek, version), bytes.length), limits);
        return limiter.run(cost, () => unwrapOnce(kek, version, bytes, use, twice));
      }
      const [lane, ask] = use === 'release' ? [releases, twice] : [probes, once];
      return lane.run(async () => {
        const sentAt = clock.now().getTime();
        const answer = await unwrapOnce(kek, version, bytes, use, ask);
        limiter.observe(answer, sentAt);
        return answer;
      });
    },
  };
}

/** A copy of its own, so that zeroing it is the caller's business alone; the SDK's bytes are zeroed here. */
function toOwnBytes(result: unknown): Uint8Array {
  if (!(result instanceof Uint8Array) || result.length === 0) {
    throw new UnexpectedAnswer('an unwrap without a value');
  }
  const own = Uint8Array.from(result);
  result.fill(0);
  return own;
}

const UnwrapBody = z.object({ kid: z.string() });

function assertKid(body: unknown, kek: KekId, version: string, bytes: Uint8Array): void {
  try {
    assertSameKey(UnwrapBody.safeParse(body).data?.kid, kek, version);
  } catch (error) {
    bytes.fill(0);
    throw error;
  }
}

function outcomeOf(answer: VaultAnswer<unknown>): string {
  if (answer.ok) return 'ok';
  const { fault } = answer;
  switch (fault.kind) {
    case 'http':
      return String(fault.status);
    case 'network':
      return fault.cause;
    case 'identity':
    case 'answer':
      return fault.kind;
  }
}
