// Looks all the time, during the faults too: some things may not happen even for a moment.
import { setTimeout as sleep } from 'node:timers/promises';
import { CLOSED_BY_DBA, readOpenDatabases } from '../stack/fleet-server.ts';
import { judgeOrder, type SeenKek, type Violation } from './judge.ts';
import { lookAtKek } from './look.ts';
import { KEKS, type KekName } from './plan.ts';
import type { Site } from './site.ts';

export interface Watch {
  stop(): Promise<readonly Violation[]>;
}

const ROWS_MS = 400;
const SERVERS_MS = 1000;

export function watchSite(site: Site): Watch {
  const seen = new Map<string, Violation>();
  const note = (violation: Violation) => void seen.set(JSON.stringify(violation), violation);
  let stopped = false;
  const repeat = async (everyMs: number, look: () => Promise<void>): Promise<void> => {
    while (!stopped) {
      await look();
      await sleep(everyMs);
    }
  };
  const last = new Map<KekName, SeenKek>();
  const rows = async () => {
    for (const name of KEKS) {
      const now = await lookAtKek(site, name, 'rows');
      const before = last.get(name);
      if (before !== undefined) judgeOrder(before, now).forEach(note);
      last.set(name, now);
    }
  };
  const servers = async () => {
    for (const { serverId, server } of site.realServers) {
      // It may be down.
      const open = await readOpenDatabases(server).catch((): readonly string[] => []);
      if (!open.includes(CLOSED_BY_DBA)) continue;
      const detail = `${serverId}: ${CLOSED_BY_DBA} was open for a while`;
      note({ invariant: 'what the DBA closed is still closed', detail });
    }
  };
  const watching = Promise.all([repeat(ROWS_MS, rows), repeat(SERVERS_MS, servers)]);
  // Whoever stops it hears of its failure.
  watching.catch(() => undefined);
  return {
    stop: async () => {
      stopped = true;
      await watching;
      return [...seen.values()];
    },
  };
}
