// What the story is played with: the stack, its servers and their clients, and ways to look at them.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KekId } from '../../shared/domain/key-id.ts';
import type { ServerRow } from '../../shared/domain/server.ts';
import type { KekProgress } from '../../shared/operations/read-progress.ts';
import type { EmulatedVault } from '../key-vault/emulated-vault.ts';
import { readOpenDatabases, type SuperuserAccess } from '../stack/fleet-server.ts';
import type { LiveClient } from '../stack/live-client.ts';
import type { Stack } from '../stack/start-stack.ts';

/** A real PostgreSQL server of the fleet, with the clients that keep sessions on it. */
export interface RealServer {
  readonly serverId: string;
  readonly server: SuperuserAccess;
  readonly role: 'primary' | 'replica';
  readonly clients: readonly LiveClient[];
  /** The databases that took connections before the story began. */
  readonly openBefore: readonly string[];
}

export interface World {
  readonly stack: Stack;
  /** The KEK that the story is about, and the one beside it that nothing may happen to. */
  readonly payments: { readonly kek: KekId; readonly vault: EmulatedVault };
  readonly ledger: { readonly kek: KekId; readonly vault: EmulatedVault };
  readonly servers: number;
  readonly realServers: readonly RealServer[];
}

export const KEY_NAME = 'fleet-kek';

/** Waits until `seen` says yes; false after `seconds`. */
export async function until(seen: () => boolean | Promise<boolean>, seconds: number): Promise<boolean> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    if (await seen()) return true;
    if (Date.now() > end) return false;
    await sleep(100);
  }
}

export async function readProgress(world: World, kek: KekId): Promise<KekProgress> {
  const progress = await world.stack.operations.readProgress(kek);
  if (progress === undefined) throw new Error(`${kek.vault}/${kek.name} is not held`);
  return progress;
}

/** Every row of a KEK's servers, by id. */
export async function readRows(world: World, kek: KekId): Promise<ReadonlyMap<string, ServerRow>> {
  const rows = new Map<string, ServerRow>();
  let after: string | null = null;
  do {
    const page = await world.stack.stores.servers.page(kek, { after, from: null, to: null, limit: 1000 });
    for (const { value } of page.rows) rows.set(value.serverId, value);
    after = page.next;
  } while (after !== null);
  return rows;
}

/** Whether all servers of the KEK are in this state. */
export async function areAll(world: World, kek: KekId, state: 'Ready' | 'Inaccessible'): Promise<boolean> {
  const progress = await readProgress(world, kek);
  return progress.states[state] === progress.servers;
}

export const allClients = (world: World): readonly LiveClient[] =>
  world.realServers.flatMap(({ clients }) => clients);

/** Whether exactly the databases that took connections before take them now, on every real server. */
export async function isAsBefore(world: World): Promise<boolean> {
  for (const { server, openBefore } of world.realServers) {
    const open = await readOpenDatabases(server);
    if (open.join() !== openBefore.join()) return false;
  }
  return true;
}

/** A fingerprint of every server's DEK, unwrapped by its vault past the app. Costs a vault call a server. */
export async function fingerprintDeks(world: World): Promise<ReadonlyMap<string, string>> {
  const prints = new Map<string, string>();
  for (const { kek } of [world.payments, world.ledger]) {
    for (const [serverId, { wrapped }] of await readRows(world, kek)) {
      const answer = await world.stack.vault.unwrap(kek, wrapped.kekVersion, wrapped.ciphertext, 'rewrap');
      if (!answer.ok)
        throw new Error(`the DEK of ${serverId} can't be unwrapped: ${JSON.stringify(answer.fault)}`);
      prints.set(serverId, createHash('sha256').update(answer.value.subarray(0, 32)).digest('hex'));
      answer.value.fill(0);
    }
  }
  return prints;
}

/** What must not change at the KEK beside: each server's version, access and epoch. */
export async function readBeside(world: World): Promise<string> {
  const rows = await readRows(world, world.ledger.kek);
  return JSON.stringify(
    [...rows].map(([id, row]) => [
      id,
      row.wrapped.kekVersion,
      row.wrapped.ciphertext,
      row.applied,
      row.accessEpoch,
    ]),
  );
}
