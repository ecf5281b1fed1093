// npm start: the demo's stack with its fleet, kept running, with what to try next. Ctrl-C ends it and leaves nothing.
import { parseArgs } from 'node:util';
import { describeError } from '../shared/domain/errors.ts';
import { bold, dim } from './demo/report.ts';
import { type StartedWorld, startWorld } from './demo/start-world.ts';
import { KEY_NAME, readProgress } from './demo/world.ts';
import { OPEN_DATABASES } from './stack/fleet-server.ts';

const STATUS_EVERY_MS = 1000;
/** Whoever tries this out is operator, key officer and server in one. */
const ROLES = 'Fleet.Read,Fleet.Operate,Dek.Assign,Keys.Retire,Dek.Unwrap';

/** The command line, with a token that is asked for when the line is run: it lasts an hour. */
function describeCommands(world: StartedWorld): readonly string[] {
  const { identity, host } = world.stack;
  const key = `${world.payments.vault.url}/keys/${KEY_NAME}`;
  const login = `curl -s '${identity.url}/login?principal=me&roles=${ROLES}'`;
  return [
    'The command line, in another terminal, in this folder; the token lasts an hour, fewer roles show refusals',
    `  export PG_CMK_URL=${host().url}`,
    `  export PG_CMK_TOKEN=$(${login} | node -pe 'JSON.parse(fs.readFileSync(0)).access_token')`,
    ...[
      `keys show ${key} --count`,
      `impact ${key} --of disable`,
      'servers show pg-1',
      'drill pg-1 --yes',
      `servers register mine --key ${key} --dek-only --principal me`,
      'dek --server mine',
      'audit --from 10m',
      'doctor',
      '--help',
    ].map((command) => `  npx pg-cmk ${command}`),
    'The HTTP API that it calls',
    `  curl ${world.stack.apiUrl}/servers -H "authorization: Bearer $PG_CMK_TOKEN"`,
  ];
}

function describe(world: StartedWorld): string {
  const { controlUrl } = world.stack.vaultEmulator;
  const key = `${controlUrl}/vaults/payments/keys/${KEY_NAME}`;
  const switches = `${controlUrl}/vaults/payments/switches`;
  const change = (body: string) =>
    `curl -X POST ${switches} -H 'content-type: application/json' -d '${body}'`;
  const hint = JSON.stringify([
    {
      id: '1',
      topic: 'me',
      subject: KEY_NAME,
      eventType: 'PgCmk.KeyStatusHint',
      eventTime: new Date().toISOString(),
      data: { keyId: `${world.payments.vault.url}/keys/${KEY_NAME}` },
      dataVersion: '1',
    },
  ]);
  const host = world.stack.host().url;
  const servers = world.realServers.map(
    ({ serverId, role, server }) =>
      `  ${serverId} (${role})  postgres://app:${server.password}@${server.host}:${server.port}/${OPEN_DATABASES[0]}?sslmode=require`,
  );
  return [
    bold('The stack is running. Try, and watch the line at the bottom:'),
    '',
    'Rotate the key, disable it, enable it, delete it, recover it',
    ...['rotate', 'disable', 'enable', 'delete', 'recover'].map((deed) => `  curl -X POST ${key}/${deed}`),
    "Take the app's rights away, give them back; an outage of the vault, and its end",
    ...['{"rbac":"denied"}', '{"rbac":"allowed"}', '{"outage":"error503"}', '{"outage":"none"}'].map(
      (body) => `  ${change(body)}`,
    ),
    "What the vault's emulator can do",
    `  curl ${controlUrl}/`,
    'Send a hint, as a SIEM rule or a runbook would; run a function by hand',
    `  curl -X POST '${host}/runtime/webhooks/EventGrid?functionName=keyDisabled' -H 'aeg-event-type: Notification' -H 'content-type: application/json' -d '${hint}'`,
    `  curl -X POST ${host}/admin/functions/sweepFleet -H 'content-type: application/json' -d '{"input":""}'`,
    ...describeCommands(world),
    'PostgreSQL servers with open sessions',
    ...servers,
    'Own events that were published',
    `  curl -k ${new URL('/events', world.stack.eventGrid.topicEndpoint).href}`,
    'Storage (tables servers, keks, audit)',
    dim(`  ${world.stack.azurite.connectionString}`),
    '',
    dim('Ctrl-C ends it.'),
    '',
  ].join('\n');
}

function readArguments(): { readonly servers: number; readonly verbose: boolean } {
  try {
    const { values } = parseArgs({
      options: { servers: { type: 'string', default: '50' }, verbose: { type: 'boolean', default: false } },
    });
    const servers = Number(values.servers);
    if (Number.isInteger(servers) && servers >= 3 && servers <= 5000) {
      return { servers, verbose: values.verbose };
    }
    throw new RangeError(`--servers takes a whole number from 3 to 5000, not ${values.servers}`);
  } catch (error) {
    console.error(`${describeError(error)}\nnpm start -- [--servers N] [--verbose]`);
    process.exit(2);
  }
}

const { servers, verbose } = readArguments();
const world = await startWorld({
  servers,
  times: { probeSeconds: 10, sweepSeconds: 30, confirmSuspectSeconds: 60 },
  onProgress: (what) => console.log(dim(what)),
  onHostLog: (line) => {
    if (verbose) console.error(dim(line));
  },
});
console.log(describe(world));

let shown = '';
const timer = setInterval(async () => {
  const { states, rotation } = await readProgress(world, world.payments.kek).catch(() => ({
    states: {},
    rotation: { state: 'unknown' },
  }));
  const connected = world.realServers
    .flatMap(({ clients }) => clients)
    .filter((client) => client.isConnected()).length;
  const line = `servers ${JSON.stringify(states)}  rotation ${rotation.state}  client sessions ${connected}`;
  if (line === shown) return;
  shown = line;
  console.log(`${dim(new Date().toISOString().slice(11, 19))}  ${line}`);
}, STATUS_EVERY_MS);

const stop = async () => {
  clearInterval(timer);
  await world.stop();
  process.exit(0);
};
process.once('SIGINT', () => void stop());
process.once('SIGTERM', () => void stop());
