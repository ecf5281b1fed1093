// What must hold once the faults have stopped. Pure: from what was seen to what is wrong with it.
import type { ServerState } from '../../shared/domain/server.ts';
import { CLOSED_BY_DBA } from '../stack/fleet-server.ts';
import type { KekName } from './plan.ts';

export const INVARIANTS = [
  'no server is open under an unusable key',
  'no server is closed under a usable key',
  'what the DBA closed is still closed',
  'all servers come to the newest usable version',
  'no server loses access while its key is usable',
  'every DEK unwraps to its original bytes',
  'every acknowledged server is there',
  'a calm app takes registrations',
  'the history of every server is whole',
  'no row goes back to an earlier state',
  'no row names a version that does not exist',
  'the audit chain verifies',
  'a poison queue explains itself',
  'the round was played to its end',
] as const;
export type Invariant = (typeof INVARIANTS)[number];

export interface Violation {
  readonly invariant: Invariant;
  readonly detail: string;
}

export interface SeenServer {
  readonly serverId: string;
  readonly state: ServerState;
  readonly reason: string | null;
  readonly failure: string | null;
  readonly kekVersion: string;
  /** Whether a newer version may be used. */
  readonly isBehind: boolean;
  readonly accessEpoch: number;
  /** How many wrappings were replaced. */
  readonly sequence: number;
  /** Whether the key version may be used, as the vault itself knows. */
  readonly usable: boolean;
  readonly real: {
    readonly open: readonly string[];
    readonly openBefore: readonly string[];
    readonly hasSession: boolean;
  } | null;
}

export interface SeenKek {
  readonly kek: KekName;
  /** Grows with every change of the key's status, target or policy. */
  readonly epoch: number;
  readonly rotation: string;
  readonly servers: readonly SeenServer[];
}

/** Every current and former wrapping, and everything else that stays. */
export interface SeenRecords {
  readonly deks: ReadonlyMap<string, string>;
  readonly wrappings: readonly {
    readonly serverId: string;
    readonly kekVersion: string;
    readonly print: string | null;
  }[];
  readonly histories: readonly {
    readonly serverId: string;
    readonly sequence: number;
    readonly numbers: readonly number[];
  }[];
  readonly versions: readonly { readonly of: string; readonly version: string; readonly exists: boolean }[];
  readonly chains: readonly {
    readonly chain: string;
    readonly records: number;
    readonly broken: number | null;
  }[];
  /** Messages that the poison queues took, and records that tell of one. */
  readonly poisoned: number;
  readonly poisonRecords: number;
}

/** What the servers and their rows say. Empty: settled. */
export function judgeServers({ kek, rotation, servers }: SeenKek): readonly Violation[] {
  const wrong: Violation[] = [];
  for (const { serverId, state, reason, failure, real, usable, isBehind } of servers) {
    const says = `${serverId} is ${state} (${reason ?? 'no reason'}${failure === null ? '' : `; ${failure}`})`;
    const add = (invariant: Invariant, what: string) => wrong.push({ invariant, detail: `${says}: ${what}` });
    if (real?.open.includes(CLOSED_BY_DBA))
      add('what the DBA closed is still closed', `${CLOSED_BY_DBA} is open`);
    if (!usable) {
      const invariant = 'no server is open under an unusable key';
      if (state !== 'Inaccessible') add(invariant, 'its key is unusable');
      if (real !== null && real.open.length > 0) add(invariant, `open: ${real.open.join()}`);
      if (real?.hasSession) add(invariant, 'a session is open');
      continue;
    }
    const invariant = 'no server is closed under a usable key';
    if (state !== 'Ready') add(invariant, 'its key is usable');
    if (real !== null && real.open.join() !== real.openBefore.join())
      add(invariant, `open: ${real.open.join()}, before: ${real.openBefore.join()}`);
    if (real?.hasSession === false) add(invariant, 'its client has no session');
    if (isBehind) {
      wrong.push({
        invariant: 'all servers come to the newest usable version',
        detail: `${says}: an older version; the rotation of ${kek} is ${rotation}`,
      });
    }
  }
  return wrong;
}

/** A key that was usable all the time: nobody may have lost access, not even for a moment. */
export function judgeEpochs(before: SeenKek, after: SeenKek): readonly Violation[] {
  const epochs = new Map(after.servers.map(({ serverId, accessEpoch }) => [serverId, accessEpoch]));
  return before.servers.flatMap(({ serverId, accessEpoch }) => {
    const now = epochs.get(serverId);
    return now === accessEpoch
      ? []
      : [
          {
            invariant: 'no server loses access while its key is usable' as const,
            detail: `${serverId}: access epoch ${accessEpoch} before, ${now} after`,
          },
        ];
  });
}

/** Two looks at the same KEK, at any time: what counts upwards never counts down, as a lost write would make it. */
export function judgeOrder(before: SeenKek, after: SeenKek): readonly Violation[] {
  const invariant = 'no row goes back to an earlier state';
  const earlier = new Map(before.servers.map((server) => [server.serverId, server]));
  const keks = after.epoch >= before.epoch ? [] : [`${after.kek}: epoch ${before.epoch} → ${after.epoch}`];
  const servers = after.servers.flatMap(({ serverId, accessEpoch, sequence }) => {
    const was = earlier.get(serverId);
    const goesOn = was === undefined || (accessEpoch >= was.accessEpoch && sequence >= was.sequence);
    if (goesOn) return [];
    return [
      `${serverId}: access epoch ${was.accessEpoch} → ${accessEpoch}, wrappings ${was.sequence} → ${sequence}`,
    ];
  });
  return [...keks, ...servers].map((detail) => ({ invariant, detail }));
}

export function judgeRecords(seen: SeenRecords): readonly Violation[] {
  const wrong: Violation[] = [];
  const add = (invariant: Invariant, detail: string) => wrong.push({ invariant, detail });
  const there = new Set(seen.histories.map(({ serverId }) => serverId));
  for (const serverId of seen.deks.keys()) {
    if (!there.has(serverId)) add('every acknowledged server is there', `${serverId} has no row`);
  }
  for (const { serverId, kekVersion, print } of seen.wrappings) {
    const first = seen.deks.get(serverId);
    if (print === null || (first !== undefined && print !== first))
      add('every DEK unwraps to its original bytes', `${serverId} under ${kekVersion}`);
  }
  for (const { serverId, sequence, numbers } of seen.histories) {
    const expected = Array.from({ length: sequence }, (_, index) => index);
    const sorted = numbers.toSorted((a, b) => a - b);
    const offset = sorted[0] ?? 0;
    if (
      sorted.length !== sequence ||
      sorted.some((number, index) => number !== (expected[index] ?? 0) + offset)
    )
      add(
        'the history of every server is whole',
        `${serverId}: ${sequence} replaced, on record ${sorted.join()}`,
      );
  }
  for (const { of, version, exists } of seen.versions) {
    if (!exists) add('no row names a version that does not exist', `${of}: ${version}`);
  }
  for (const { chain, broken } of seen.chains) {
    if (broken !== null) add('the audit chain verifies', `${chain}: record ${broken}`);
  }
  if (seen.poisonRecords < seen.poisoned)
    add('a poison queue explains itself', `${seen.poisoned} messages, ${seen.poisonRecords} records`);
  return wrong;
}
