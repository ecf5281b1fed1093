// Keys: listing, reading, their policy, and holds on them (design 9).

import type { PolicyBody } from '../../shared/api/keys.ts';
import type { KekPolicy } from '../../shared/domain/kek.ts';
import { kekTag } from '../../shared/domain/kek.ts';
import { type KekId, parseKekId } from '../../shared/domain/key-id.ts';
import type { ChangePolicy } from '../../shared/operations/change-policy.ts';
import type { HoldKek } from '../../shared/operations/hold-kek.ts';
import type { ListKeks, ReadKek } from '../../shared/operations/read-keks.ts';
import type { KekProgress } from '../../shared/operations/read-progress.ts';
import type { Cursors } from './cursor.ts';
import type { Handlers } from './route.ts';
import { KekOfCursor } from './servers.ts';
import { toKey, toProgress } from './to-key.ts';

export interface KeyPorts {
  readonly listKeks: ListKeks;
  readonly readKek: ReadKek;
  readonly readProgress: (kek: KekId) => Promise<KekProgress | undefined>;
  readonly changePolicy: ChangePolicy;
  readonly holdKek: HoldKek;
  readonly cursors: Cursors;
}

export function makeKeyHandlers(
  ports: KeyPorts,
): Pick<Handlers, 'listKeys' | 'readKey' | 'changePolicy' | 'revokeKey' | 'restoreKey'> {
  const { cursors } = ports;
  const answerWith = async (kek: KekId) => {
    const listed = await ports.readKek(kek);
    return { status: 200, body: toKey(listed), etag: kekTag(listed.stored.kek.value) } as const;
  };
  return {
    listKeys: async ({ query }) => {
      const scope = { listing: 'keys', filters: query };
      const { keks, next } = await ports.listKeks({
        vault: query.vault?.toLowerCase() ?? null,
        from: query.cursor === undefined ? null : cursors.open(scope, query.cursor, KekOfCursor),
        limit: query.limit,
      });
      const cursor = next === null ? null : cursors.seal(scope, next);
      return { status: 200, body: { keys: keks.map((one) => toKey(one)), cursor } };
    },

    readKey: async ({ params, query }) => {
      const kek = parseKekId(params.vault, params.name);
      const listed = await ports.readKek(kek);
      const counted = query.count === 'now' ? await ports.readProgress(kek) : undefined;
      const progress = counted === undefined ? null : toProgress(counted);
      const etag = kekTag(listed.stored.kek.value);
      return { status: 200, body: { ...toKey(listed, counted), progress }, etag };
    },

    changePolicy: async ({ params, body, caller, ifMatch }) => {
      const kek = parseKekId(params.vault, params.name);
      await ports.changePolicy({ kek, change: toChange(body), by: caller.principalId, ifMatch });
      return answerWith(kek);
    },

    revokeKey: async ({ params, body: { reason }, caller, ifMatch }) => {
      const kek = parseKekId(params.vault, params.name);
      await ports.holdKek({ kek, reason, by: caller.principalId, ifMatch });
      return answerWith(kek);
    },

    restoreKey: async ({ params, caller, ifMatch }) => {
      const kek = parseKekId(params.vault, params.name);
      await ports.holdKek({ kek, reason: null, by: caller.principalId, ifMatch });
      return answerWith(kek);
    },
  };
}

/** Without what isn't named: `undefined` would be a change too. */
function toChange(body: PolicyBody): Partial<KekPolicy> {
  const named = Object.entries(body).filter(([, value]) => value !== undefined);
  return Object.fromEntries(named);
}
