// What can be wrong with servers: seen page by page, with some names of each kind.
import type { Server, ServerPage } from '../../shared/api/servers.ts';
import { type Finding, finding, type Severity, some } from './finding.ts';

interface Kind {
  readonly severity: Severity;
  readonly what: string;
  readonly remedy: string;
  readonly is: (server: Server) => boolean;
}

const isInState = (state: Server['state'], server: Server): boolean =>
  !server.tombstone && server.state === state;

const KINDS: readonly Kind[] = [
  {
    severity: 'info',
    what: 'pinned to a key version: no rotation moves them',
    remedy: 'Register them with the key without a version, to have them follow.',
    is: ({ pinned, tombstone }) => pinned && !tombstone,
  },
  {
    severity: 'error',
    what: 'without access',
    remedy: 'pg-cmk servers show says the reason and the remedy of each.',
    is: (server) => isInState('Inaccessible', server),
  },
  {
    severity: 'error',
    what: 'losing access, and not all of it is gone yet',
    remedy: 'pg-cmk servers show says what stands in the way.',
    is: (server) => isInState('Revoking', server),
  },
  {
    severity: 'warning',
    what: 'suspect: the last probes of their key were not good',
    remedy: 'pg-cmk keys show says why.',
    is: (server) => isInState('Suspect', server),
  },
  {
    severity: 'warning',
    what: 'being reopened',
    remedy: 'pg-cmk servers show says what stands in the way.',
    is: (server) => isInState('Restoring', server),
  },
  {
    severity: 'info',
    what: 'waiting for their key, or for their first start',
    remedy: 'pg-cmk servers show says what is missing.',
    is: (server) => isInState('PendingKey', server),
  },
  {
    severity: 'warning',
    what: 'failing to be reached or rewrapped',
    remedy: 'pg-cmk servers show says the last failure.',
    is: ({ failure, rewrapFailure }) => failure !== null || rewrapFailure !== null,
  },
  {
    severity: 'warning',
    what: 'held by an operator',
    remedy: 'pg-cmk servers restore, once it is over.',
    is: ({ hold }) => hold !== null,
  },
];

/** So many are named; the rest is counted. */
const NAMED = 5;

export interface ServerCheck {
  readonly add: (page: ServerPage) => void;
  readonly findings: () => readonly Finding[];
}

export function makeServerCheck(): ServerCheck {
  const tallies = KINDS.map((kind) => ({ kind, names: [] as string[], many: 0 }));
  const held = { names: [] as string[], many: 0 };
  let total = 0;
  const tally = (into: { names: string[]; many: number }, name: string) => {
    into.many += 1;
    if (into.names.length < NAMED) into.names.push(name);
  };

  return {
    add: (page) => {
      total += page.servers.length;
      for (const row of page.held) tally(held, row.serverId);
      for (const server of page.servers) {
        for (const one of tallies) if (one.kind.is(server)) tally(one, server.serverId);
      }
    },
    findings: () => [
      finding('servers', 'ok', `${total} are registered`),
      ...tallies
        .filter(({ many }) => many > 0)
        .map(({ kind, names, many }) =>
          finding('servers', kind.severity, `${many} ${kind.what}: ${toNames(names, many)}`, kind.remedy),
        ),
      ...(held.many === 0
        ? []
        : [
            finding(
              'servers',
              'error',
              `${held.many} rows do not parse and are left alone: ${toNames(held.names, held.many)}`,
              'Repair or restore the row; no version of their key can be retired meanwhile.',
            ),
          ]),
    ],
  };
}

const toNames = (names: readonly string[], many: number): string =>
  many > names.length ? `${some(names)} and ${many - names.length} more` : some(names);
