// Looks at the whole site after the faults have stopped, past the proxies where that makes a difference.
import { QueueServiceClient } from '@azure/storage-queue';
import { type ChainedRecord, findBrokenRecord } from '../../shared/domain/audit.ts';
import { findVersion } from '../../shared/domain/kek.ts';
import { kekKey } from '../../shared/domain/key-id.ts';
import { deriveServerState, type ServerRow } from '../../shared/domain/server.ts';
import { mapBounded } from '../../shared/operations/bounded.ts';
import { toSnapshot } from '../../shared/operations/snapshot.ts';
import { readOpenDatabases } from '../stack/fleet-server.ts';
import type { SeenKek, SeenRecords, SeenServer } from './judge.ts';
import { KEKS, type KekName } from './plan.ts';
import { KEY_NAME, type RealServer, type Site } from './site.ts';
import { isUsable, unwrapInside, versionsOf } from './vault-truth.ts';

const PAGE_ROWS = 1000;
const AT_A_TIME = 8;
const CHAIN_OF_THE_APP = 'app';

/** What can be seen in a moment: rows, what the key allows and, where asked for, the real servers themselves. */
export async function lookAtKek(
  site: Site,
  name: KekName,
  servers: 'servers' | 'rows' = 'servers',
): Promise<SeenKek> {
  const { kek, vault } = site.keks[name];
  const stored = await site.stack.stores.keks.read(kek);
  if (stored === undefined) throw new Error(`${name} is not held`);
  const snapshot = toSnapshot(stored);
  const created = new Map(versionsOf(vault, KEY_NAME).map((one) => [one.version, one.created]));
  const newest = Math.max(...created.values());
  // Where it can't be used, the app is right to leave everything where it is.
  const newestIsUsable = [...created].some(
    ([version, at]) => at === newest && isUsable(vault, KEY_NAME, version),
  );
  const seen: SeenServer[] = [];
  for (const row of await readRows(site, name)) {
    const { kekVersion } = row.wrapped;
    const real = site.realServers.find(({ serverId }) => serverId === row.serverId);
    const { state, reason } = deriveServerState(row, findVersion(snapshot, kekVersion));
    seen.push({
      serverId: row.serverId,
      state,
      reason,
      failure: row.failure?.message ?? row.rewrapFailure?.message ?? null,
      kekVersion,
      isBehind: newestIsUsable && created.get(kekVersion) !== newest,
      accessEpoch: row.accessEpoch,
      sequence: row.sequence,
      usable: isUsable(vault, KEY_NAME, kekVersion),
      real: real === undefined || servers === 'rows' ? null : await lookAtServer(real),
    });
  }
  return { kek: name, epoch: snapshot.kek.epoch, rotation: snapshot.kek.rotation.state, servers: seen };
}

async function lookAtServer({ server, client, openBefore }: RealServer): Promise<SeenServer['real']> {
  return { open: await readOpenDatabases(server), openBefore, hasSession: client.isConnected() };
}

async function readRows(site: Site, name: KekName): Promise<readonly ServerRow[]> {
  const { kek } = site.keks[name];
  const rows: ServerRow[] = [];
  let after: string | null = null;
  do {
    const page = await site.stack.stores.servers.page(kek, { after, from: null, to: null, limit: PAGE_ROWS });
    rows.push(...page.rows.map(({ value }) => value));
    after = page.next;
  } while (after !== null);
  return rows;
}

/** Whether everything that was to be recorded is in its chain, and nothing waits in a poison queue. */
export async function isDelivered(site: Site): Promise<boolean> {
  for (const chain of chainsOf(site)) {
    for (const audited of [false, true]) {
      if ((await site.stack.stores.outbox.pageOutbox(chain, audited, 1)).length > 0) return false;
    }
  }
  return (await countPoison(site)) === 0;
}

const chainsOf = ({ keks }: Site): readonly string[] => [
  ...KEKS.map((name) => kekKey(keks[name].kek)),
  CHAIN_OF_THE_APP,
];

const POISON_QUEUES = ['reconcile-keks', 'rewrap-deks', 'server-access', 'probe-keks'].map(
  (name) => `${name}-poison`,
);

async function countPoison({ stack }: Site): Promise<number> {
  const service = QueueServiceClient.fromConnectionString(stack.azurite.connectionString);
  let messages = 0;
  for (const name of POISON_QUEUES) {
    messages += (await service.getQueueClient(name).getProperties()).approximateMessagesCount ?? 0;
  }
  return messages;
}

/** Everything that is on record, which takes longer to read: wrappings, histories, audit chains. */
export async function lookAtRecords(site: Site, known: Map<string, string | null>): Promise<SeenRecords> {
  const wrappings: SeenRecords['wrappings'][number][] = [];
  const histories: SeenRecords['histories'][number][] = [];
  const versions: SeenRecords['versions'][number][] = [];
  for (const name of KEKS) {
    const { kek, vault } = site.keks[name];
    const there = new Set(versionsOf(vault, KEY_NAME).map(({ version }) => version));
    const named = (of: string, version: string) => versions.push({ of, version, exists: there.has(version) });
    await mapBounded(await readRows(site, name), AT_A_TIME, async ({ serverId, wrapped, sequence }) => {
      const history = await site.stack.stores.servers.history(kek, serverId);
      histories.push({ serverId, sequence, numbers: history.map((row) => row.sequence) });
      for (const one of [wrapped, ...history.map((row) => row.wrapped)]) {
        named(serverId, one.kekVersion);
        const place = `${serverId}:${one.ciphertext}`;
        if (!known.has(place)) known.set(place, await unwrapInside(vault, KEY_NAME, one));
        wrappings.push({ serverId, kekVersion: one.kekVersion, print: known.get(place) ?? null });
      }
    });
    const stored = await site.stack.stores.keks.read(kek);
    for (const { value } of stored?.versions ?? []) named(`${name}, version row`, value.version);
    const target = stored?.kek.value.target ?? null;
    if (target !== null) named(`${name}, target`, target);
  }
  const chains: SeenRecords['chains'][number][] = [];
  let poisonRecords = 0;
  for (const chain of chainsOf(site)) {
    const records: ChainedRecord[] = [];
    for await (const record of site.stack.stores.audit.readChain(chain)) records.push(record);
    poisonRecords += records.filter(({ body }) => body.includes('"message.poisoned"')).length;
    chains.push({ chain, records: records.length, broken: findBrokenRecord(chain, records) });
  }
  return {
    deks: site.deks,
    wrappings,
    histories,
    versions,
    chains,
    poisoned: site.network.poisoned(),
    poisonRecords,
  };
}
