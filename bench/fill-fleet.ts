// A fleet of any size on the local stack, without registering each server.
import type { Stack } from '../local/stack/start-stack.ts';
import { makeLocalWrap } from '../shared/azure/vault/local-wrap.ts';
import { Dek } from '../shared/domain/dek.ts';
import { type KekId, keyUrl } from '../shared/domain/key-id.ts';
import type { ServerRow } from '../shared/domain/server.ts';
import { bindDek } from '../shared/domain/wrapped-dek.ts';
import { mapBounded } from '../shared/operations/bounded.ts';

export interface FillOptions {
  readonly prefix?: string;
  /** Whether their ids are in `serverindex`, as a move, an order and a request need it; a rotation doesn't. */
  readonly indexed?: boolean;
}

/** Registers one server as callers do, then makes the others' rows like its own: registering is not what is measured. */
export async function fillFleet(
  stack: Stack,
  kek: KekId,
  count: number,
  { prefix = 'server', indexed = true }: FillOptions = {},
): Promise<void> {
  const idOf = (index: number) => `${prefix}-${String(index).padStart(6, '0')}`;
  const { stored } = await stack.operations.registerServer({
    serverId: idOf(0),
    keyId: keyUrl(kek),
    access: { kind: 'none' },
    keyLossPolicy: 'terminate',
    drainSeconds: null,
    principalId: null,
    labels: {},
    wrappedDek: null,
    by: 'bench',
    mayAssign: true,
    ifMatch: null,
  });
  const first = stored.value;
  const described = await stack.vault.describeVersion(kek, first.wrapped.kekVersion);
  const publicKey = described.ok ? described.value.publicKey : null;
  if (publicKey === null) throw new Error('the key could not be read');
  const localWrap = makeLocalWrap();
  const makeRow = async (index: number): Promise<ServerRow> => {
    const serverId = idOf(index);
    using dek = new Dek(crypto.getRandomValues(new Uint8Array(32)));
    const ciphertext = await localWrap.wrap(publicKey, bindDek(dek, serverId));
    return {
      ...first,
      serverId,
      applied: 'granted',
      provenAt: new Date(),
      wrapped: { ...first.wrapped, dekId: dek.id, ciphertext },
    };
  };
  for (let start = 1; start < count; start += 98) {
    const indexes = Array.from({ length: Math.min(98, count - start) }, (_, offset) => start + offset);
    const rows = await Promise.all(indexes.map(makeRow));
    if (indexed) await mapBounded(rows, 32, ({ serverId }) => stack.stores.index.claim(serverId, kek));
    await stack.stores.servers.commit(
      kek,
      rows.map((value) => ({ value, etag: null, history: null })),
      null,
    );
  }
}
