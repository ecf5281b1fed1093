// A stack with many KEKs, some of them with real PostgreSQL servers and sessions: what detection.ts disables and enables.
import { randomBytes } from 'node:crypto';
import type { EmulatedVault } from '../local/key-vault/emulated-vault.ts';
import { startPostgres } from '../local/postgres.ts';
import { prepareServer, toAccess } from '../local/stack/fleet-server.ts';
import { type Stack, startStack } from '../local/stack/start-stack.ts';
import { type KekId, keyUrl, parseKekId } from '../shared/domain/key-id.ts';
import { mapBounded } from '../shared/operations/bounded.ts';
import { fillFleet } from './fill-fleet.ts';
import { type WatchedServer, watchServer } from './watched-server.ts';

export interface GroupSpec {
  /** Servers under its KEK. */
  readonly servers: number;
  /** Those of them that are real PostgreSQL servers; the others are DEKs without access. */
  readonly real: number;
  /** On each real server. */
  readonly sessions: number;
}

export interface Group extends GroupSpec {
  readonly kek: KekId;
  readonly vault: EmulatedVault;
  readonly watched: readonly WatchedServer[];
}

export interface DetectionFleet {
  readonly stack: Stack;
  readonly groups: readonly Group[];
  stop(): Promise<void>;
}

const PASSWORD_SETTING = 'PGCMK_SECRET_FLEET';
/** Probes take a tenth of a vault's limit at most: with more keys in one vault the period would stretch. */
const KEYS_A_VAULT = 100;
const AT_A_TIME = 8;

export async function startDetectionFleet(options: {
  readonly groups: readonly GroupSpec[];
  /** All KEKs that the app holds, those of the groups among them. */
  readonly keks: number;
  readonly probeSeconds: number;
}): Promise<DetectionFleet> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end().catch(() => undefined);
  };
  try {
    const vaultNames = Array.from(
      { length: Math.ceil(options.keks / KEYS_A_VAULT) },
      (_, index) => `vault-${index + 1}`,
    );
    const appPassword = randomBytes(18).toString('base64url');
    const stack = await startStack({
      times: { probeSeconds: options.probeSeconds, sweepSeconds: 59, confirmSuspectSeconds: 60 },
      vaults: vaultNames,
      settings: { [PASSWORD_SETTING]: appPassword },
      onHostLog: () => undefined,
    });
    stops.push(stack.stop);
    const vaultOf = (index: number) =>
      stack.vaultEmulator.vault(vaultNames[index % vaultNames.length] ?? 'vault-1');

    const groups: Group[] = [];
    for (const [index, spec] of options.groups.entries()) {
      const vault = vaultOf(index);
      const kek = parseKekId(vault.host, `kek-${index}`);
      await vault.createKey(kek.name);
      const names = Array.from({ length: spec.real }, (_, number) => `pg-${index}-${number}`);
      const watched = await mapBounded(names, 4, async (name) => {
        const server = await startPostgres({ name, ssl: stack.certificates });
        stops.push(server.stop);
        await prepareServer(server, appPassword);
        const one = await watchServer(server, spec.sessions);
        stops.push(one.stop);
        await registerReal(stack, kek, one);
        return one;
      });
      if (spec.servers > spec.real)
        await fillFleet(stack, kek, spec.servers - spec.real, { prefix: `dek-${index}` });
      groups.push({ ...spec, kek, vault, watched });
    }
    const others = Array.from({ length: options.keks - groups.length }, (_, index) => index + groups.length);
    await mapBounded(others, AT_A_TIME, async (index) => {
      const vault = vaultOf(index);
      const kek = parseKekId(vault.host, `kek-${index}`);
      await vault.createKey(kek.name);
      await fillFleet(stack, kek, 1, { prefix: `other-${index}` });
    });
    return { stack, groups, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function registerReal(stack: Stack, kek: KekId, { name, server }: WatchedServer) {
  await stack.operations.registerServer({
    serverId: name,
    keyId: keyUrl(kek),
    access: toAccess(server, PASSWORD_SETTING),
    keyLossPolicy: 'terminate',
    drainSeconds: null,
    principalId: null,
    labels: {},
    wrappedDek: null,
    by: 'bench',
    mayAssign: true,
    ifMatch: null,
  });
}
