// While a server moves, two rows bear its id in two partitions: the index says which one answers for it.
import { isSameKek } from '../domain/key-id.ts';
import type { ServerRow } from '../domain/server.ts';
import type { ServerIndex } from '../ports/server-store.ts';

/**
 * Whether workers may act on this row. One that is still arriving is left alone until it is activated, also when the
 * index points to it already: what happened to the row before it isn't in it yet. A row that isn't moving costs no
 * look-up.
 */
export async function answersHere(index: ServerIndex, row: ServerRow): Promise<boolean> {
  if (row.incoming) return false;
  if (row.moving === null) return true;
  const owner = await index.find(row.serverId);
  return owner !== undefined && isSameKek(owner.value, row.kek);
}
