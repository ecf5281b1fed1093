// The audit chains, page by page.
import type { AuditRecord, ChainedRecord } from '../domain/audit.ts';
import { CmkError } from '../domain/errors.ts';
import { type KekId, kekKey, parseKekKey } from '../domain/key-id.ts';
import type { KekStore } from '../ports/kek-store.ts';
import type { AuditStore, ChainName } from '../ports/outbox-store.ts';
import type { ServerIndex } from '../ports/server-store.ts';
import { APP_CHAIN } from './reject-input.ts';

/** Where a listing goes on: after that record of that chain. */
export interface AuditPosition {
  readonly chain: ChainName;
  readonly after: number;
}

export interface AuditQuery {
  /** null: all chains, one after the other, and that of the app last. */
  readonly kek: KekId | null;
  /** Records about this server; without a `kek`, in the chain of the KEK that it is under now. */
  readonly serverId: string | null;
  /** Records from this time on. */
  readonly fromTime: Date | null;
  /** Records before this time. */
  readonly toTime: Date | null;
  readonly from: AuditPosition | null;
  readonly limit: number;
}

export interface AuditListing {
  readonly records: readonly { readonly chain: ChainName; readonly record: ChainedRecord }[];
  readonly next: AuditPosition | null;
}

/** A page may hold fewer than `limit` and still not be the last. @throws CmkError ServerNotFound, StoreUnavailable */
export type ReadAudit = (query: AuditQuery) => Promise<AuditListing>;

export interface ReadAuditDeps {
  readonly keks: KekStore;
  readonly index: ServerIndex;
  readonly audit: AuditStore;
}

/** So many records are looked at for one answer, where a filter lets few through. */
const MOST_RECORDS = 5000;

export function makeReadAudit(deps: ReadAuditDeps): ReadAudit {
  return async (query) => {
    const records: { readonly chain: ChainName; readonly record: ChainedRecord }[] = [];
    let looked = 0;
    for await (const chain of chainsOf(deps, query)) {
      const after = query.from?.chain === chain ? query.from.after : 0;
      for await (const record of deps.audit.readChain(chain, after)) {
        looked += 1;
        if (matches(record, query)) records.push({ chain, record });
        if (records.length === query.limit || looked === MOST_RECORDS) {
          return { records, next: { chain, after: record.sequence } };
        }
      }
    }
    return { records, next: null };
  };
}

async function* chainsOf({ keks, index }: ReadAuditDeps, query: AuditQuery): AsyncIterable<ChainName> {
  const { kek, serverId, from } = query;
  if (kek !== null) {
    yield kekKey(kek);
    return;
  }
  if (serverId !== null) {
    const owner = await index.find(serverId);
    if (owner === undefined) {
      throw new CmkError('ServerNotFound', `no server is registered as ${serverId}`, {
        remedy:
          'Check the id. For one that was purged, name its key too: the records are in the chain of the key.',
      });
    }
    yield kekKey(owner.value);
    return;
  }
  if (from?.chain !== APP_CHAIN) {
    const first = from === null ? null : parseKekKey(from.chain);
    for await (const stored of keks.list({ vault: null, from: first })) yield kekKey(stored.kek.value.kek);
  }
  yield APP_CHAIN;
}

function matches({ body }: ChainedRecord, { serverId, fromTime, toTime }: AuditQuery): boolean {
  if (serverId === null && fromTime === null && toTime === null) return true;
  // Written by this app, and covered by the chain's hashes.
  const { at, servers }: Pick<AuditRecord, 'servers'> & { readonly at: string } = JSON.parse(body);
  const time = new Date(at);
  return (
    (serverId === null || servers.includes(serverId)) &&
    (fromTime === null || time >= fromTime) &&
    (toTime === null || time < toTime)
  );
}
