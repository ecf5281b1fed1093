// How often a vault's key versions can be probed: probes take at most a tenth of what a vault gives in 10 s.
import type { KekState } from '../domain/kek.ts';
import type { VersionState } from '../domain/key-status.ts';
import type { KekStore, StoredKek } from '../ports/kek-store.ts';

/** What one unwrap of a ciphertext of so many bytes takes of what the vault gives in 10 s, 0 to 1. */
export type CostOf = (ciphertextBytes: number) => number;

const PROBE_SHARE = 0.1;

/** A key version to probe. */
export interface Watched {
  readonly kek: KekState;
  readonly state: VersionState;
}

/** The versions that servers are on, and the target. */
export const watchedOf = ({ kek, versions }: StoredKek): readonly Watched[] =>
  versions
    .filter(({ value }) => value.inUse || value.version === kek.value.target)
    .map(({ value }) => ({ kek: kek.value, state: value }));

/** The shortest time between two probes of each of these, in seconds; of several keys of a vault: the sum. */
export const periodOf = (watched: readonly Watched[], costOf: CostOf): number =>
  (watched.reduce((sum, { state }) => sum + costOf(bytesOf(state.canary)), 0) * 10) / PROBE_SHARE;

const bytesOf = (canary: string | null): number => Math.floor(((canary ?? '').length * 3) / 4);

/** In seconds. From the rows, since the process that probes may be another one. @throws CmkError StoreUnavailable */
export type ReadProbePeriod = (vault: string) => Promise<number>;

export const makeReadProbePeriod =
  ({ keks, costOf }: { readonly keks: Pick<KekStore, 'list'>; readonly costOf: CostOf }): ReadProbePeriod =>
  async (vault) => {
    let seconds = 0;
    for await (const stored of keks.list({ vault })) seconds += periodOf(watchedOf(stored), costOf);
    return seconds;
  };
