// An export against the fleet as the app has it now: what going back to it would undo.
import { ServerPage } from '../../shared/api/servers.ts';
import { readPages } from '../answers.ts';
import type { ApiClient } from '../client.ts';

export interface FleetComparison {
  /** Servers that both have, with the same DEK. */
  readonly same: number;
  /** Their DEK is another one: the id was freed, and taken again. */
  readonly otherDek: readonly string[];
  readonly onlyInApp: readonly string[];
  readonly onlyInExport: readonly string[];
}

/** @param deks the id of each server's DEK, as the export has it */
export async function compareFleet(
  api: ApiClient,
  deks: ReadonlyMap<string, string>,
): Promise<FleetComparison> {
  const left = new Map(deks);
  const otherDek: string[] = [];
  const onlyInApp: string[] = [];
  let same = 0;
  const listing = { path: '/api/servers', query: {}, schema: ServerPage };
  for await (const { servers, held } of readPages(api, listing)) {
    for (const { serverId, dekId } of servers) {
      const exported = left.get(serverId);
      if (exported === undefined) onlyInApp.push(serverId);
      else if (exported === dekId) same += 1;
      else otherDek.push(serverId);
      left.delete(serverId);
    }
    // Their rows don't parse, so the app doesn't say which DEK they have.
    for (const { serverId } of held) left.delete(serverId);
  }
  return { same, otherDek, onlyInApp, onlyInExport: [...left.keys()] };
}
