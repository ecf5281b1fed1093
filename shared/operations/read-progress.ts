// How far a KEK's servers are: counted anew from their rows.

import type { Rotation } from '../domain/kek.ts';
import { findVersion } from '../domain/kek.ts';
import type { KekId } from '../domain/key-id.ts';
import { deriveServerState, type ServerState } from '../domain/server.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { ServerStore } from '../ports/server-store.ts';
import { toSnapshot } from './snapshot.ts';

export interface KekProgress {
  readonly target: string | null;
  readonly rotation: Rotation;
  readonly servers: number;
  readonly versions: Readonly<Record<string, { readonly servers: number; readonly unproven: number }>>;
  readonly states: Readonly<Partial<Record<ServerState, number>>>;
  readonly rewrapFailures: Readonly<Record<string, string>>;
  readonly held: number;
}

/** undefined where the KEK isn't held. */
export const makeReadProgress =
  ({ keks, servers }: { readonly keks: KekStore; readonly servers: ServerStore }) =>
  async (kek: KekId): Promise<KekProgress | undefined> => {
    const stored = await keks.read(kek);
    if (stored === undefined) return undefined;
    const snapshot = toSnapshot(stored);
    const versions: Record<string, { servers: number; unproven: number }> = {};
    const states: Partial<Record<ServerState, number>> = {};
    const rewrapFailures: Record<string, string> = {};
    let count = 0;
    let held = 0;
    let after: string | null = null;
    do {
      const page = await servers.page(kek, { after, from: null, to: null, limit: 1000 });
      held += page.held.length;
      for (const { value: row } of page.rows) {
        const version = row.wrapped.kekVersion;
        const { state } = deriveServerState(row, findVersion(snapshot, version));
        const entry = versions[version] ?? { servers: 0, unproven: 0 };
        versions[version] = entry;
        entry.servers += 1;
        if (row.provenAt === null) entry.unproven += 1;
        states[state] = (states[state] ?? 0) + 1;
        if (row.rewrapFailure !== null) rewrapFailures[row.serverId] = row.rewrapFailure.code;
        count += 1;
      }
      after = page.next;
    } while (after !== null);
    const { target, rotation } = snapshot.kek;
    return { target, rotation, servers: count, versions, states, rewrapFailures, held };
  };
