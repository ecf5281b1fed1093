// What the vault says of a KEK now: its versions, and the canary's unwrap of each that matters (design 5).
import { canaryOf, isCanary } from '../domain/canary.ts';
import type { KekObservation } from '../domain/decide-kek.ts';
import { findVersion, type KekSnapshot } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import type { Probe, VersionAttributes, VersionObservation } from '../domain/key-status.ts';
import type { DeletedAnswer, VaultAnswer, VaultFault } from '../domain/vault-answer.ts';
import { openWrapping, type WrappedDek } from '../domain/wrapped-dek.ts';
import type { KeyVault, LocalWrap } from '../ports/key-vault.ts';
import type { Clock } from '../ports/runtime.ts';
import { mapBounded } from './bounded.ts';
import type { TargetProofs } from './target-proofs.ts';

/** A wrapping under a version, with its server: the probe where no canary can be made. */
export interface SampleWrapping {
  readonly serverId: string;
  readonly wrapped: WrappedDek;
}

export interface ObserveKekDeps {
  readonly vault: KeyVault;
  readonly localWrap: LocalWrap;
  readonly proofs: TargetProofs;
  readonly clock: Clock;
  readonly findWrapping: (kek: KekId, version: string) => Promise<SampleWrapping | undefined>;
}

const PROBES_AT_A_TIME = 4;

/** Never throws for what a vault says or doesn't say. @throws CmkError StoreUnavailable from `findWrapping` */
export const makeObserveKek = (deps: ObserveKekDeps) => {
  const { vault, localWrap, proofs, clock } = deps;

  const wrapCanary = async (kek: KekId, version: string): Promise<VaultAnswer<string>> => {
    const described = await proofs.describe(kek, version);
    if (!described.ok) return described;
    const value = await localWrap.wrap(described.value.publicKey, canaryOf(kek, version));
    return { ok: true, value, vaultNow: described.vaultNow };
  };

  const probeCanary = async (kek: KekId, version: string, canary: string): Promise<Answered> => {
    const answer = await vault.unwrap(kek, version, canary, 'probe');
    const { vaultNow } = answer;
    if (!answer.ok) return { probe: { kind: 'fault', fault: answer.fault }, vaultNow };
    return { probe: { kind: 'unwrapped', matches: isCanary(answer.value, kek, version) }, vaultNow };
  };

  /** Without a canary: any server's wrapping under that version; else why the canary couldn't be made. */
  const probeWrapping = async (kek: KekId, version: string, why: VaultFault): Promise<Answered> => {
    const sample = await deps.findWrapping(kek, version);
    if (sample === undefined) return { probe: { kind: 'fault', fault: why }, vaultNow: null };
    const answer = await vault.unwrap(kek, version, sample.wrapped.ciphertext, 'probe');
    const { vaultNow } = answer;
    if (!answer.ok) return { probe: { kind: 'fault', fault: answer.fault }, vaultNow };
    try {
      using _ = openWrapping(answer.value, sample.wrapped, sample.serverId);
      return { probe: { kind: 'none' }, vaultNow };
    } catch {
      return { probe: { kind: 'unwrapped', matches: false }, vaultNow };
    }
  };

  const probe = async (
    kek: KekId,
    version: string,
    known: string | null,
  ): Promise<Answered & { readonly newCanary: string | null }> => {
    if (known !== null) {
      const answered = await probeCanary(kek, version, known);
      const wrong = answered.probe.kind === 'unwrapped' && !answered.probe.matches;
      if (!wrong) return { ...answered, newCanary: null };
    }
    const made = await wrapCanary(kek, version);
    if (!made.ok) return { ...(await probeWrapping(kek, version, made.fault)), newCanary: null };
    const answered = await probeCanary(kek, version, made.value);
    return { ...answered, newCanary: made.value };
  };

  return async (snapshot: KekSnapshot): Promise<KekObservation> => {
    const { kek, target } = snapshot.kek;
    const described = await vault.describe(kek);
    const attributes = new Map(
      described.ok ? described.value.versions.map((one) => [one.version, one.attributes] as const) : [],
    );
    const newest = described.ok ? described.value.newest : null;
    const updatedOn = new Map(
      (described.ok ? described.value.versions : []).flatMap((one) =>
        one.updatedOn === null ? [] : [[one.version, one.updatedOn] as const],
      ),
    );
    const watched = new Set(snapshot.versions.filter((state) => state.inUse).map((state) => state.version));
    for (const version of [target, newest]) if (version !== null) watched.add(version);

    const answers = await mapBounded([...watched], PROBES_AT_A_TIME, async (version) => {
      const known = findVersion(snapshot, version);
      const read: VersionAttributes | null = attributes.get(version) ?? null;
      if (read?.enabled === false)
        return { version, read, probe: { kind: 'none' }, vaultNow: null, newCanary: null } as const;
      return { version, read, ...(await probe(kek, version, known?.canary ?? null)) };
    });

    const isGone = (one: { readonly probe: Probe }) =>
      one.probe.kind === 'fault' && one.probe.fault.kind === 'http' && one.probe.fault.status === 404;
    const deleted: DeletedAnswer = answers.some(isGone) ? await vault.askDeleted(kek) : 'unsaid';

    const versions = answers.map((one): VersionObservation => {
      if (one.probe.kind === 'unwrapped' && one.probe.matches) proofs.noteGood(kek, one.version);
      return {
        version: one.version,
        attributes: one.read,
        probe: one.probe,
        deleted: isGone(one) ? deleted : 'unsaid',
        newCanary: one.newCanary,
      };
    });
    const clocks = [described.vaultNow, ...answers.map((one) => one.vaultNow)].filter((at) => at !== null);
    const latest = Math.max(...clocks.map((at) => at.getTime()));
    return { newest, versions, updatedOn, vaultNow: clocks.length === 0 ? clock.now() : new Date(latest) };
  };
};

interface Answered {
  readonly probe: Probe;
  readonly vaultNow: Date | null;
}
