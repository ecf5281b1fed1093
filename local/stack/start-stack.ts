// The whole app on this machine: Azurite, two vaults, Event Grid, an identity, and the host as a process of its own
// that runs the very same compiled app. What is started here is stopped here.
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { buildOperations, type Operations } from '../../functions/operations.ts';
import { readConfig } from '../../shared/config.ts';
import { ROLES, type Role } from '../../shared/domain/caller.ts';
import { type Azurite, startAzurite } from '../azurite.ts';
import { type LocalCertificates, makeLocalCertificates } from '../certificates.ts';
import { type EventGridEmulator, startEventGridEmulator } from '../event-grid/event-grid-emulator.ts';
import { type HostProcess, spawnHost } from '../host/spawn-host.ts';
import { API_AUDIENCE, type IdentityEmulator, startIdentityEmulator } from '../identity.ts';
import { startVaultEmulator, type VaultEmulator } from '../key-vault/vault-emulator.ts';
import { type Hosts, startHosts } from './hosts.ts';

/** The app's periods, shorter than in Azure so that a story can be watched. Each is an ordinary setting. */
export interface StackTimes {
  readonly probeSeconds: number;
  readonly sweepSeconds: number;
  readonly confirmSuspectSeconds: number;
}

export interface StackOptions {
  readonly times: StackTimes;
  /** Names of the vaults. */
  readonly vaults: readonly string[];
  /** More settings of the app, its servers' secrets among them. */
  readonly settings: Readonly<Record<string, string>>;
  readonly controlPort?: number;
  readonly hostPort?: number;
  /** How long a message stays out of sight after the host that took it was killed. Azure: 600. */
  readonly queueLeaseSeconds?: number;
  readonly onHostLog?: (line: string) => void;
  /** The host runs the bundle rather than the build. */
  readonly bundle?: boolean;
  /** In place of the app's own host.json. */
  readonly hostJson?: string;
  /** How many host processes run side by side on the same storage; 1 by default. */
  readonly hosts?: number;
  /** What stands between the hosts and what they talk to; nothing by default. */
  readonly network?: Network;
}

/** Places in front of the parts of a stack. Each is told where the part is, and answers where the hosts find it. */
export interface Network {
  storage(connectionString: string): Promise<string>;
  vault(name: string, port: number, certificates: LocalCertificates): Promise<number>;
  /** Event Grid delivers there. `hosts`: the addresses of those that run now. */
  webhook(hosts: () => readonly string[]): Promise<string>;
}

export interface Stack {
  readonly times: StackTimes;
  readonly certificates: LocalCertificates;
  readonly azurite: Azurite;
  readonly identity: IdentityEmulator;
  readonly vaultEmulator: VaultEmulator;
  readonly eventGrid: EventGridEmulator;
  /** The app's operations in this process, wired like the host's. */
  readonly operations: Operations;
  readonly stores: Operations['stores'];
  readonly vault: Operations['vault'];
  /** The settings that the app runs with. */
  readonly settings: Readonly<Record<string, string>>;
  /** The first host. */
  host(): HostProcess;
  readonly hosts: Hosts;
  /** Where the HTTP API is, without a slash at the end. */
  readonly apiUrl: string;
  /** A token for a caller of the API; all roles and `operator` where nothing is said. */
  token(roles?: readonly Role[], principalId?: string): Promise<string>;
  /** Kills the host as a crash would, and starts another. */
  restartHost(): Promise<void>;
  stop(): Promise<void>;
}

const LEAST_INSPECT_SECONDS = 10;
const EVENT_FUNCTIONS = {
  keyNewVersionCreated: 'Microsoft.KeyVault.KeyNewVersionCreated',
  keyNearExpiry: 'Microsoft.KeyVault.KeyNearExpiry',
  keyExpired: 'Microsoft.KeyVault.KeyExpired',
  vaultAccessPolicyChanged: 'Microsoft.KeyVault.VaultAccessPolicyChanged',
  keyDisabled: 'PgCmk.KeyStatusHint',
} as const;

const compiled = !import.meta.url.endsWith('.ts');
const root = fileURLToPath(new URL(compiled ? '../../../' : '../../', import.meta.url));
const build = {
  entry: join(root, compiled ? 'dist/functions/index.js' : 'functions/index.ts'),
  hostJson: join(root, 'host.json'),
};
/** What is deployed, as `npm run bundle` makes it. */
const bundle = { entry: join(root, 'dist/bundle/index.js'), hostJson: join(root, 'dist/bundle/host.json') };

const makeSigningKey = (): string =>
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64');

const every = (seconds: number) => `*/${seconds} * * * * *`;

/** @throws what the part throws that can't start; what was started before it is stopped */
export async function startStack(options: StackOptions): Promise<Stack> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end().catch(() => undefined);
  };
  try {
    return await start(options, stops, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(
  options: StackOptions,
  stops: (() => Promise<unknown>)[],
  stop: () => Promise<void>,
): Promise<Stack> {
  const { times, network } = options;
  const certificates = await makeLocalCertificates();
  const directory = await mkdtemp(join(tmpdir(), 'pg-cmk-'));
  stops.push(() => rm(directory, { recursive: true, force: true }));
  const caFile = join(directory, 'ca.pem');
  await writeFile(caFile, certificates.caPem);
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), certificates.caPem]);

  const [azurite, identity] = await Promise.all([startAzurite(), startIdentityEmulator()]);
  stops.push(azurite.stop, identity.stop);
  const authenticate = (token: string) => identity.verify(token);
  const vaultEmulator = await startVaultEmulator({
    certificates,
    authenticate,
    ...(options.controlPort === undefined ? {} : { controlPort: options.controlPort }),
  });
  stops.push(() => vaultEmulator.close());
  for (const name of options.vaults) {
    const inFront = network && ((port: number) => network.vault(name, port, certificates));
    await vaultEmulator.addVault(name, {
      purgeProtection: true,
      ...(inFront === undefined ? {} : { inFront }),
    });
  }
  const eventGrid = await startEventGridEmulator({ tls: certificates, authenticate, timeScale: 0.1 });
  stops.push(eventGrid.stop);
  vaultEmulator.onEvent((event) => eventGrid.publish(event));

  const settings: Record<string, string> = {
    AzureWebJobsStorage: azurite.connectionString,
    PGCMK_CREDENTIAL: 'managedIdentity',
    PGCMK_KEY_VAULT_DNS_SUFFIXES: '127.0.0.1',
    PGCMK_VAULT_CHALLENGE_VERIFICATION: 'off',
    PGCMK_CONFIRM_SUSPECT_SECONDS: String(times.confirmSuspectSeconds),
    PGCMK_VAULT_SHARE: '1',
    PGCMK_MAX_INSTANCES: '1',
    PGCMK_PROBE_SCHEDULE: every(times.probeSeconds),
    PGCMK_SWEEP_SCHEDULE: every(times.sweepSeconds),
    PGCMK_OUTBOX_SCHEDULE: every(2),
    PGCMK_INSPECT_REVOKED_SECONDS: String(Math.max(LEAST_INSPECT_SECONDS, times.sweepSeconds)),
    PGCMK_EVENT_TOPIC_ENDPOINT: eventGrid.topicEndpoint,
    PGCMK_POSTGRES_CA_FILE: caFile,
    PGCMK_AUTH_ISSUER: identity.url,
    PGCMK_AUTH_AUDIENCE: API_AUDIENCE,
    PGCMK_SIGNING_KEY: makeSigningKey(),
    ...options.settings,
  };
  const env = {
    ...settings,
    ...(network && { AzureWebJobsStorage: await network.storage(azurite.connectionString) }),
    ...identity.env,
    NODE_EXTRA_CA_CERTS: caFile,
  };
  // The credential of the real SDK reads these from the environment of its process.
  Object.assign(process.env, identity.env);
  // This process only registers and reads: what it would log and count is the host's to say.
  const quiet = { ...settings, PGCMK_LOG_LEVEL: 'warn' };
  const operations = buildOperations(readConfig(quiet), (name) => settings[name]);

  const app = options.bundle === true ? bundle : build;
  const spawn = (port: number) =>
    spawnHost({
      entry: app.entry,
      hostJsonPath: options.hostJson ?? app.hostJson,
      env,
      port,
      queueLeaseSeconds: options.queueLeaseSeconds ?? 15,
      ...(options.onHostLog === undefined ? {} : { onLog: options.onHostLog }),
    });
  const hosts = await startHosts(options.hosts ?? 1, options.hostPort ?? 0, spawn);
  stops.push(hosts.stop);
  const webhook = (await network?.webhook(hosts.urls)) ?? hosts.at(0).url;
  for (const [functionName, eventType] of Object.entries(EVENT_FUNCTIONS)) {
    await eventGrid.subscribe({
      name: functionName,
      endpointUrl: `${webhook}/runtime/webhooks/EventGrid?functionName=${functionName}`,
      schema: 'CloudEventSchemaV1_0',
      includedEventTypes: [eventType],
    });
  }

  return {
    times,
    certificates,
    azurite,
    identity,
    vaultEmulator,
    eventGrid,
    operations,
    stores: operations.stores,
    vault: operations.vault,
    settings,
    host: () => hosts.at(0),
    hosts,
    get apiUrl() {
      return `${hosts.at(0).url}/api`;
    },
    token: (roles = ROLES, principalId = 'operator') => identity.issueFor({ principalId, roles }),
    restartHost: async () => {
      await hosts.kill(0);
      await hosts.start(0);
    },
    stop,
  };
}
