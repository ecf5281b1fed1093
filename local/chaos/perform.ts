// Does what a plan says. Every deed that lasts answers how it is ended.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GridEvent } from '../event-grid/delivery.ts';
import { HostStartError } from '../host/errors.ts';
import type { EmulatedVault } from '../key-vault/emulated-vault.ts';
import { VaultError } from '../key-vault/vault-error.ts';
import type { Hosts } from '../stack/hosts.ts';
import type { Deed, End, Forgery, KekName, KeyDeed, Plan } from './plan.ts';
import { KEKS } from './plan.ts';
import { KEY_NAME, type RealServer, registerServer, type Site } from './site.ts';
import { versionsOf } from './vault-truth.ts';

type EndDeed = () => unknown;

const HOUR_SECONDS = 3600;
const LONG_AGO_SECONDS = 600;

/** Servers that somebody wanted to register, and was not told that they are. */
export type Unacknowledged = Map<string, KekName>;

/** Plays all actions of the plan to their ends. When it returns, nothing of it goes on. */
export async function performPlan(site: Site, plan: Plan): Promise<Unacknowledged> {
  const unacknowledged: Unacknowledged = new Map();
  await Promise.all(
    plan.actions.map(async ({ atMs, deed }, index) => {
      await sleep(atMs);
      const end = await begin(site, deed, plan.seed * 1000 + index, unacknowledged);
      if (end === undefined || !('forMs' in deed)) return;
      await sleep(Math.min(deed.forMs, Math.max(0, plan.lengthMs - atMs)));
      await end();
    }),
  );
  site.network.calm();
  return unacknowledged;
}

const STARTS = 20;

/** As the platform does it: a host that ends because the tables don't answer at its start is started once more. */
async function startAgain(hosts: Hosts, index: number): Promise<void> {
  for (let starts = 1; ; starts += 1) {
    try {
      return await hosts.start(index);
    } catch (error) {
      if (!(error instanceof HostStartError) || starts === STARTS) throw error;
      await sleep(500);
    }
  }
}

async function begin(
  site: Site,
  deed: Deed,
  seed: number,
  unacknowledged: Unacknowledged,
): Promise<EndDeed | undefined> {
  const { stack, network, keks } = site;
  switch (deed.kind) {
    case 'rotate':
      return void (await asOwner(() => keks[deed.kek].vault.rotateKey(KEY_NAME)));
    case 'key':
      return void (await asOwner(() => changeKey(keks[deed.kek].vault, deed.deed)));
    case 'faults':
      return network.disturb(deed.wire, deed.faults, deed.chance, seed);
    case 'noToken':
      stack.identity.setOutage(true);
      return () => stack.identity.setOutage(false);
    case 'topicOutage':
      stack.eventGrid.setTopicOutage(deed.how);
      return () => stack.eventGrid.setTopicOutage(false);
    case 'kill':
      await stack.hosts.kill(deed.host);
      return () => startAgain(stack.hosts, deed.host);
    case 'freeze': {
      const thaw = stack.hosts.at(deed.host).freeze();
      await sleep(deed.frozenMs);
      return void thaw();
    }
    case 'events': {
      const { lose, duplicate, delayMs } = deed;
      stack.eventGrid.setFaults({ lose, duplicate, delayMs });
      return () => stack.eventGrid.setFaults({ lose: 0, duplicate: 0, delayMs: 0 });
    }
    case 'forge':
      return void stack.eventGrid.publish(forge(keks[deed.kek].vault, deed.forgery));
    case 'postgresCrash': {
      const { server } = realServer(site, deed.server);
      await inTurn(deed.server, server.kill);
      return () => inTurn(deed.server, server.restart);
    }
    case 'postgresNetwork': {
      const { proxy } = realServer(site, deed.server);
      if (deed.passage === 'cut') return void proxy.cut();
      proxy.set(deed.passage);
      return () => proxy.set('open');
    }
    case 'register': {
      const serverId = `${deed.kek}-new-${seed}`;
      unacknowledged.set(serverId, deed.kek);
      // Not waited for: it may take longer than the faults.
      void registerServer(site, { serverId, kek: deed.kek, host: deed.host }).then((done) => {
        if (done) unacknowledged.delete(serverId);
      });
      return undefined;
    }
  }
}

/** What the vault refuses, such as rotating a deleted key, just doesn't happen. */
async function asOwner(change: () => unknown): Promise<void> {
  try {
    await change();
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
  }
}

async function changeKey(vault: EmulatedVault, deed: KeyDeed): Promise<void> {
  const now = Math.floor(vault.now().getTime() / 1000);
  const all = (change: Parameters<EmulatedVault['updateKey']>[2]) => vault.updateKey(KEY_NAME, 'all', change);
  switch (deed) {
    case 'disable':
      return void vault.updateKey(KEY_NAME, 'current', { enabled: false });
    case 'disableOldest':
      return void vault.updateKey(KEY_NAME, versionsOf(vault, KEY_NAME)[0]?.version ?? '', {
        enabled: false,
      });
    case 'enable':
      return void all({ enabled: true });
    case 'delete':
      return vault.deleteKey(KEY_NAME);
    case 'recover':
      return vault.recoverKey(KEY_NAME);
    case 'expire':
      return void vault.updateKey(KEY_NAME, 'current', { exp: now - LONG_AGO_SECONDS });
    case 'extend':
      return void all({ exp: null, nbf: null });
    case 'notYetValid':
      return void vault.updateKey(KEY_NAME, 'current', { nbf: now + HOUR_SECONDS });
    case 'denyRole':
      return vault.setSwitches({ rbac: 'denied' });
    case 'grantRole':
      return vault.setSwitches({ rbac: 'allowed' });
    case 'closeFirewall':
      return vault.setSwitches({ firewall: 'closed' });
    case 'openFirewall':
      return vault.setSwitches({ firewall: 'open' });
    case 'clockAhead':
      all({ exp: now + HOUR_SECONDS });
      return vault.setClockOffset(vault.clockOffsetSeconds() + 2 * HOUR_SECONDS);
  }
}

/** Puts every key into the state that the plan leaves it in. */
export async function leaveKeys(site: Site, ends: Readonly<Record<KekName, End>>): Promise<void> {
  for (const name of KEKS) {
    const { vault } = site.keks[name];
    await asOwner(() => vault.recoverKey(KEY_NAME));
    await vault.setSwitches({ rbac: 'allowed', firewall: 'open' });
    const now = Math.floor(vault.now().getTime() / 1000);
    const all = (change: Parameters<EmulatedVault['updateKey']>[2]) =>
      vault.updateKey(KEY_NAME, 'all', change);
    all({ enabled: true, exp: null, nbf: null });
    switch (ends[name]) {
      case 'usable':
        break;
      case 'disabled':
        all({ enabled: false });
        break;
      case 'newestDisabled':
        vault.updateKey(KEY_NAME, 'current', { enabled: false });
        break;
      case 'deleted':
        vault.deleteKey(KEY_NAME);
        break;
      case 'expired':
        all({ exp: now - LONG_AGO_SECONDS });
        break;
      case 'notYetValid':
        all({ nbf: now + HOUR_SECONDS });
        break;
      case 'roleDenied':
        await vault.setSwitches({ rbac: 'denied' });
        break;
      case 'firewallClosed':
        await vault.setSwitches({ firewall: 'closed' });
        break;
    }
  }
}

function realServer({ realServers }: Site, serverId: string): RealServer {
  const found = realServers.find((one) => one.serverId === serverId);
  if (found === undefined) throw new RangeError(`there is no server ${serverId}`);
  return found;
}

const turns = new Map<string, Promise<void>>();

/** Starting and stopping one server never overlap. */
function inTurn(serverId: string, change: () => Promise<void>): Promise<void> {
  const next = (turns.get(serverId) ?? Promise.resolve()).catch(() => undefined).then(change);
  turns.set(serverId, next);
  return next;
}

function forge(vault: EmulatedVault, forgery: Forgery): GridEvent {
  const version = versionsOf(vault, KEY_NAME).at(-1)?.version ?? '';
  const event = (eventType: string, data: unknown): GridEvent => ({
    id: randomUUID(),
    topic: vault.resourceId,
    subject: KEY_NAME,
    eventType,
    eventTime: new Date().toISOString(),
    data,
    dataVersion: '1',
    metadataVersion: '1',
  });
  const about = (host: string, name: string) => ({
    Id: `https://${host}/keys/${name}/${version}`,
    VaultName: vault.name,
    ObjectType: 'Key',
    ObjectName: name,
    Version: version,
    NBF: null,
    EXP: 1,
  });
  switch (forgery) {
    case 'expired':
      return event('Microsoft.KeyVault.KeyExpired', about(vault.host, KEY_NAME));
    case 'statusHint':
      return event('PgCmk.KeyStatusHint', { keyId: `https://${vault.host}/keys/${KEY_NAME}` });
    case 'unknownKey':
      return event('Microsoft.KeyVault.KeyExpired', about(vault.host, 'no-such-key'));
    case 'strangeVault':
      return event('Microsoft.KeyVault.KeyExpired', about('vault.example', KEY_NAME));
    case 'malformed':
      return event('Microsoft.KeyVault.KeyExpired', { Id: 7 });
  }
}
