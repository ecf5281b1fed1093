// A KEK's rows as the API shows them: status per version, census, policy, rotation.
import type { Key, Progress } from '../../shared/api/keys.ts';
import type { Census, KekPolicy, Rotation, Wave } from '../../shared/domain/kek.ts';
import { type KekId, keyUrl } from '../../shared/domain/key-id.ts';
import type { VersionState } from '../../shared/domain/key-status.ts';
import { REMEDIES } from '../../shared/domain/reason.ts';
import type { ListedKek } from '../../shared/operations/read-keks.ts';
import type { KekProgress } from '../../shared/operations/read-progress.ts';
import { toHold, toInstant } from './to-server.ts';

/** @param counted the census of this moment, in place of the one on record */
export function toKey({ stored, newestExport }: ListedKek, counted?: KekProgress): Key {
  const { kek, epoch, fannedOutEpoch, target, policy, hold, rotation, lastHintAt } = stored.kek.value;
  const census: Pick<Census, 'countedAt' | 'versions'> | null = counted ?? stored.kek.value.census;
  const counts = Object.values(census?.versions ?? {});
  return {
    keyId: keyUrl(kek),
    vault: kek.vault,
    name: kek.name,
    target,
    epoch,
    settled: epoch === fannedOutEpoch,
    policy: toPolicy(policy),
    hold: toHold(hold),
    rotation: toRotation(rotation),
    versions: stored.versions.map(({ value }) => toVersion(kek, value, census)).toSorted(byCreation),
    countedAt: toInstant(census?.countedAt ?? null),
    servers: census === null ? null : counts.reduce((sum, { servers }) => sum + servers, 0),
    notSettled: stored.kek.value.census?.notSettled ?? null,
    lastEventAt: toInstant(lastHintAt),
    newestExport:
      newestExport === null
        ? null
        : { exportedAt: newestExport.exportedAt.toISOString(), versions: [...newestExport.versions] },
  };
}

const toPolicy = (policy: KekPolicy): Key['policy'] => ({
  ...policy,
  canaryServers: [...policy.canaryServers],
});

type KeyVersionView = Key['versions'][number];

const NOTHING = { servers: 0, tombstones: 0, copies: 0, unproven: 0, unprovenSuccessors: 0 };

const toVersion = (
  kek: KekId,
  state: VersionState,
  census: Pick<Census, 'versions'> | null,
): KeyVersionView => ({
  version: state.version,
  keyId: keyUrl(kek, state.version),
  status: state.status,
  reason: state.reason,
  remedy: state.reason === null ? null : REMEDIES[state.reason],
  since: state.since.toISOString(),
  verdict: state.verdict,
  verdictReason: state.verdictReason,
  verdictSince: state.verdictSince.toISOString(),
  enabled: state.attributes?.enabled ?? null,
  createdOn: toInstant(state.attributes?.createdOn ?? null),
  notBefore: toInstant(state.attributes?.notBefore ?? null),
  expiresOn: toInstant(state.attributes?.expiresOn ?? null),
  inUse: state.inUse,
  provenAt: toInstant(state.provenAt),
  retiredAt: toInstant(state.retiredAt),
  count: census === null ? null : { ...NOTHING, ...census.versions[state.version] },
});

/** The newest first, and first of all those of which that isn't known yet. */
const byCreation = (a: KeyVersionView, b: KeyVersionView): number => {
  const [before, after] = [a.createdOn ?? '~', b.createdOn ?? '~'];
  return before === after ? 0 : before < after ? 1 : -1;
};

const toWave = (wave: Wave | null) =>
  wave === null ? null : { ...wave, openedAt: wave.openedAt.toISOString() };

export function toRotation(rotation: Rotation): Key['rotation'] {
  switch (rotation.state) {
    case 'idle':
      return rotation;
    case 'running':
      return {
        state: 'running',
        startedAt: rotation.startedAt.toISOString(),
        resumedAt: toInstant(rotation.resumedAt),
        wave: toWave(rotation.wave),
      };
    case 'halted':
      return {
        state: 'halted',
        startedAt: rotation.startedAt.toISOString(),
        since: rotation.since.toISOString(),
        failures: rotation.failures,
        wave: toWave(rotation.wave),
      };
    case 'completed':
      return {
        state: 'completed',
        startedAt: rotation.startedAt.toISOString(),
        completedAt: rotation.completedAt.toISOString(),
      };
    case 'blocked':
      return { ...rotation, since: rotation.since.toISOString() };
  }
}

export const toProgress = (progress: KekProgress): Progress => ({
  countedAt: progress.countedAt.toISOString(),
  servers: progress.servers,
  onTarget: progress.onTarget,
  behind: progress.behind,
  states: { ...progress.states },
  held: progress.held,
  serversPerSecond: progress.serversPerSecond,
  expectedEnd: toInstant(progress.expectedEnd),
  failures: progress.failures.map((one) => ({ ...one, since: one.since.toISOString() })),
  failureCount: progress.failureCount,
});
