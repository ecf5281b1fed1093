// Subscribes the Event Grid functions to their topics, once Azure knows them all. May be repeated: the deployment says how
// it should be, and changes nothing that is so.
import { z } from 'zod';

/** What `azd provision` put out; infra/main.bicep names them. */
const outputs = z.object({
  AZURE_ENV_NAME: z.string().min(1),
  AZURE_LOCATION: z.string().min(1),
  AZURE_SUBSCRIPTION_ID: z.string().min(1),
  AZURE_RESOURCE_GROUP: z.string().min(1),
  PGCMK_DEPLOY_FUNCTION_APP: z.string().min(1),
  PGCMK_DEPLOY_EVENT_FUNCTIONS: z.string().min(1),
});

export interface SubscribeDeps {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Runs the Azure CLI. `output` is what it wrote, of its errors if it failed. */
  readonly az: (args: readonly string[]) => { readonly ok: boolean; readonly output: string };
  readonly sleep: (milliseconds: number) => Promise<void>;
  readonly say: (line: string) => void;
}

const LOOK_EVERY_MS = 10_000;
/** Ten minutes: a new app on Flex Consumption lists its functions within two or three. */
const LOOKS = 60;
const ATTEMPTS = 4;
const BETWEEN_ATTEMPTS_MS = 30_000;

/** @throws Error that says what to do */
export async function subscribeEvents(deps: SubscribeDeps): Promise<void> {
  const { az, say } = deps;
  const parsed = outputs.safeParse(deps.environment);
  if (!parsed.success) {
    const names = parsed.error.issues.map(({ path }) => path.join('.'));
    throw new Error(`not set: ${names.join(', ')}. Run this by azd, after azd provision.`);
  }
  const { data } = parsed;
  const place = ['--subscription', data.AZURE_SUBSCRIPTION_ID];
  if (!az(['account', 'show', ...place, '--output', 'none']).ok)
    throw new Error('the Azure CLI is not signed in to the subscription: az login');
  await waitForFunctions(deps, data, place);
  for (let attempt = 1; ; attempt += 1) {
    const { ok, output } = az([
      ...['deployment', 'sub', 'create', ...place, '--name', `pg-cmk-events-${data.AZURE_ENV_NAME}`],
      ...[
        '--location',
        data.AZURE_LOCATION,
        '--parameters',
        'infra/subscriptions.bicepparam',
        '--output',
        'none',
      ],
    ]);
    if (ok) return say('Event Grid: every event function is subscribed.');
    if (attempt === ATTEMPTS) throw new Error(`the subscriptions could not be made: ${output}`);
    // A function is listed a little before its host answers to Event Grid.
    say(`Event Grid: refused, attempt ${attempt} of ${ATTEMPTS}. ${output}`);
    await deps.sleep(BETWEEN_ATTEMPTS_MS);
  }
}

async function waitForFunctions(
  { az, sleep, say }: SubscribeDeps,
  app: z.infer<typeof outputs>,
  place: readonly string[],
): Promise<void> {
  const wanted = app.PGCMK_DEPLOY_EVENT_FUNCTIONS.split(',');
  const named = ['--resource-group', app.AZURE_RESOURCE_GROUP, '--name', app.PGCMK_DEPLOY_FUNCTION_APP];
  let missing: readonly string[] = wanted;
  for (let look = 1; look <= LOOKS; look += 1) {
    // Names come as APP/FUNCTION, one a line. While the app starts the question itself may fail.
    const { ok, output } = az([
      ...['functionapp', 'function', 'list', ...place, ...named],
      ...['--query', '[].name', '--output', 'tsv'],
    ]);
    const there = new Set(ok ? output.split('\n').map((line) => line.trim().split('/').at(-1) ?? '') : []);
    missing = wanted.filter((name) => !there.has(name));
    if (missing.length === 0) return;
    say(`Event Grid: waiting for ${missing.join(', ')}`);
    if (look < LOOKS) await sleep(LOOK_EVERY_MS);
  }
  throw new Error(
    `the app doesn't list ${missing.join(', ')}. Its log says why it doesn't start: a setting, or a role that isn't there yet. Then: azd hooks run postdeploy`,
  );
}
