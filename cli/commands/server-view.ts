// Servers as people read them.
import type { Server } from '../../shared/api/servers.ts';
import { paintState } from '../paint.ts';
import { type Cell, count, instant, type View } from '../print.ts';

/** The URL's `{vault}/{name}` and version apart, as far as it is one. */
const splitKey = (keyId: string): readonly [string, string] => {
  const [, vault = '', name = '', version = ''] =
    /^https:\/\/([^/]+)\/keys\/([^/]+)(?:\/(.+))?$/.exec(keyId) ?? [];
  return vault === '' ? [keyId, ''] : [`${vault}/${name}`, version];
};

export function showServers({ table, paint }: View, servers: readonly Server[]): void {
  table(
    ['SERVER', 'STATE', 'REASON', 'KEY', 'VERSION', ''],
    servers.map((server) => {
      const [key, version] = splitKey(server.keyId);
      return [
        server.serverId,
        { painted: paintState(paint, server.state) },
        server.reason,
        key,
        version.slice(0, 8),
        remarks(server).join(', '),
      ];
    }),
  );
}

const remarks = (server: Server): readonly string[] => [
  ...(server.pinned ? ['pinned'] : []),
  ...(server.hold === null ? [] : ['held']),
  ...(server.movingTo === null ? [] : ['moving']),
  ...(server.tombstone ? ['deleted'] : []),
  ...(server.copyOf === null ? [] : [`${server.copyOf.kind} of ${server.copyOf.serverId}`]),
  ...(server.failure === null && server.rewrapFailure === null ? [] : ['failing']),
];

export function showServer({ facts, paint }: View, server: Server, etag: string | null): void {
  const { failure, rewrapFailure, hold, copyOf } = server;
  facts([
    ['server', server.serverId],
    ['state', { painted: paintState(paint, server.state) }],
    ['reason', server.reason],
    ['remedy', server.remedy],
    ['key', server.keyId],
    ['pinned', server.pinned ? 'yes: it follows no rotation' : null],
    ['access', toAccess(server)],
    ['reached by', toWay(server)],
    ['on key loss', toPolicy(server)],
    ['sessions open', countedSessions(server)],
    ['held', hold && `by ${hold.by} since ${instant(hold.since)}: ${hold.reason}${until(hold.until)}`],
    ['DEK', server.dekId],
    ['wrapped', instant(server.wrappedAt)],
    ['proven', instant(server.provenAt) ?? 'not yet'],
    ['principal', server.principalId],
    ['lease until', instant(server.leaseExpiresOn)],
    ['failure', failure && `${failure.reason}: ${failure.message}${retried(failure)}`],
    [
      'rewrap failure',
      rewrapFailure && `${rewrapFailure.code}: ${rewrapFailure.message}${retried(rewrapFailure)}`,
    ],
    ['copy', copyOf && `${copyOf.kind} of ${copyOf.serverId}`],
    ['moving to', server.movingTo],
    ['deleted', server.tombstone ? 'yes: only its wrapping is kept' : null],
    ['labels', toLabels(server.labels)],
    ['registered', instant(server.createdAt)],
    ['etag', etag],
  ] satisfies (readonly [string, Cell])[]);
}

/** As last seen while access is taken away; nobody counts them on a server that is open. */
export const countedSessions = ({ desired, sessionsOpen }: Server): number | null =>
  desired === 'revoked' ? sessionsOpen : null;

const until = (time: string | null): string => (time === null ? '' : ` (until ${instant(time)})`);

const retried = ({ attempt, nextAttemptAt }: { readonly attempt: number; readonly nextAttemptAt: string }) =>
  ` (${count(attempt, 'attempt')}, next at ${instant(nextAttemptAt)})`;

const toAccess = ({ desired, applied, appliedAt }: Server): string =>
  desired === applied
    ? `${desired}${appliedAt === null ? '' : ` since ${instant(appliedAt)}`}`
    : `to be ${desired}, is ${applied}`;

const toPolicy = ({ keyLossPolicy, drainSeconds, drainUntil }: Server): string =>
  keyLossPolicy === 'drain'
    ? `drain, ${drainSeconds} s${drainUntil === null ? '' : `, until ${instant(drainUntil)}`}`
    : keyLossPolicy;

const toWay = ({ access }: Server): string =>
  access.kind === 'none'
    ? 'nothing: only its DEK is cared for'
    : `${access.user}@${access.host}:${access.port}/${access.maintenanceDatabase}, TLS ${access.tls}`;

const toLabels = (labels: Server['labels']): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
