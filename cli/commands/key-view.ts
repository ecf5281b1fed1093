// Keys as people read them.
import type { Key, KeyDetail, Progress } from '../../shared/api/keys.ts';
import { paintState } from '../paint.ts';
import { type Cell, count, instant, type View } from '../print.ts';

export function showKeys({ table, paint }: View, keys: readonly Key[]): void {
  table(
    ['KEY', 'ROTATION', 'VERSIONS', 'SERVERS', 'NOT SETTLED', 'EXPIRES', ''],
    keys.map((key) => {
      const inUse = key.versions.filter((version) => version.inUse);
      const expiry = key.versions.find(({ version }) => version === key.target)?.expiresOn ?? null;
      return [
        `${key.vault}/${key.name}`,
        { painted: paintState(paint, key.rotation.state) },
        {
          painted: inUse
            .map(({ version, status }) => `${version.slice(0, 8)} ${paintState(paint, status)}`)
            .join(', '),
        },
        key.servers,
        key.notSettled,
        instant(expiry),
        [...(key.hold === null ? [] : ['held']), ...(key.policy.rewrapPaused ? ['paused'] : [])].join(', '),
      ];
    }),
  );
}

export function showKey(view: View, key: KeyDetail): void {
  const { facts, line, paint } = view;
  const { hold, newestExport } = key;
  facts([
    ['key', key.keyId],
    ['target', key.target ?? 'none is proven yet'],
    ['rotation', { painted: paintRotation(view, key.rotation) }],
    ['servers', key.servers],
    ['not settled', key.notSettled],
    ['counted', instant(key.countedAt)],
    ['settled', key.settled ? null : 'no: a change is still being handed on to the servers'],
    ['held', hold && `by ${hold.by} since ${instant(hold.since)}: ${hold.reason}`],
    ['last event', instant(key.lastEventAt) ?? 'never'],
    [
      'newest export',
      newestExport &&
        `${instant(newestExport.exportedAt)}, needs ${newestExport.versions.join(', ') || 'none'}`,
    ],
    ['policy', toPolicy(key.policy)],
    ['etag', null],
  ]);
  line('');
  showVersions(view, key);
  const remedies = key.versions.filter(({ remedy }) => remedy !== null);
  for (const { version, reason, remedy } of remedies) {
    line(`${paint('warn', `${version.slice(0, 8)} ${reason}`)}: ${remedy}`);
  }
  if (key.progress !== null) {
    line('');
    showProgress(view, key.progress);
  }
}

function showVersions({ table, paint }: View, { versions, target }: Key): void {
  table(
    ['VERSION', 'STATUS', 'REASON', 'VERDICT', 'CREATED', 'EXPIRES', 'SERVERS', 'DELETED', 'UNPROVEN', ''],
    versions.map((version) => {
      const { count: counted } = version;
      return [
        version.version,
        { painted: paintState(paint, version.status) },
        version.reason ?? '',
        { painted: paintState(paint, version.verdict) },
        instant(version.createdOn),
        instant(version.expiresOn),
        counted?.servers,
        counted?.tombstones,
        counted && counted.unproven + counted.unprovenSuccessors,
        [
          ...(version.version === target ? ['target'] : []),
          ...(version.retiredAt === null ? [] : [`retired ${instant(version.retiredAt)}`]),
          ...(version.enabled === false ? ['disabled'] : []),
        ].join(', '),
      ];
    }),
  );
}

export function paintRotation({ paint }: Pick<View, 'paint'>, rotation: Key['rotation']): string {
  const state = paintState(paint, rotation.state);
  switch (rotation.state) {
    case 'idle':
      return state;
    case 'running':
      return `${state} since ${instant(rotation.startedAt)}${toWave(rotation.wave)}`;
    case 'halted':
      return `${state} since ${instant(rotation.since)} after ${count(rotation.failures, 'failure')}${toWave(rotation.wave)}`;
    case 'completed':
      return `${state} ${instant(rotation.completedAt)}`;
    case 'blocked':
      return `${state} since ${instant(rotation.since)}: ${rotation.reason} of ${rotation.newest}`;
  }
}

const toWave = (wave: { readonly number: number } | null): string =>
  wave === null ? '' : `, wave ${wave.number}`;

export function showProgress({ facts, table, line, paint }: View, progress: Progress): void {
  facts([
    ['on target', `${progress.onTarget} of ${progress.onTarget + progress.behind}`],
    [
      'states',
      Object.entries(progress.states)
        .map(([state, many]) => `${many} ${state}`)
        .join(', '),
    ],
    ['rows held', progress.held === 0 ? null : progress.held],
    [
      'rate',
      progress.serversPerSecond === null ? null : `${progress.serversPerSecond.toFixed(1)} servers a second`,
    ],
    ['expected end', instant(progress.expectedEnd)],
    ['failures', progress.failureCount === 0 ? null : progress.failureCount],
  ]);
  if (progress.failures.length === 0) return;
  line('');
  line(paint('bad', 'Failures'));
  table(
    ['SERVER', 'CODE', 'MESSAGE', 'SINCE'],
    progress.failures.map(({ serverId, code, message, since }): readonly Cell[] => [
      serverId,
      code,
      message,
      instant(since),
    ]),
  );
}

export function toPolicy(policy: Key['policy']): string {
  const { canaryServers, waveServers, waveSoakSeconds, haltAfterFailures } = policy;
  return [
    `expired keys: ${policy.expiredKeyPolicy}`,
    `vault out of reach: ${policy.transientBuffer}`,
    `proof: ${policy.rewrapVerification}`,
    canaryServers.length === 0 ? 'no canaries' : `canaries ${canaryServers.join(' ')}`,
    waveServers === null ? 'all at once' : `waves of ${waveServers}`,
    `soak ${waveSoakSeconds} s`,
    haltAfterFailures === null
      ? 'never halts'
      : `halts after more than ${count(haltAfterFailures, 'failure')}`,
    ...(policy.rewrapPaused ? ['paused'] : []),
  ].join('; ');
}
