// The stack, one real PostgreSQL server and a session, for an operator's day; and the page that it makes.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../postgres.ts';
import { prepareServer } from '../stack/fleet-server.ts';
import { startStack } from '../stack/start-stack.ts';
import { playDay } from './play.ts';
import { makeSession } from './session.ts';

const PASSWORD_SETTING = 'PGCMK_SECRET_ORDERS';

const HEAD = `# An operator's day

Every task of [operating](operating.md) once, on the local stack, as it really prints. Made by \`npm run day -- --write
docs/operators-day.md\`; a test plays the same day and compares. The local stack probes every two seconds, asks for no
soak, and its vaults live at 127.0.0.1.

`;

/** Plays the whole day. @returns the page. @throws Error at the first thing that isn't as it should be */
export async function runDay(onProgress: (what: string) => void): Promise<string> {
  const stops: (() => Promise<unknown>)[] = [];
  try {
    const appPassword = randomBytes(18).toString('base64url');
    const directory = await mkdtemp(join(tmpdir(), 'pg-cmk-day-'));
    stops.push(() => rm(directory, { recursive: true, force: true }));
    const stack = await startStack({
      times: { probeSeconds: 2, sweepSeconds: 3, confirmSuspectSeconds: 6 },
      vaults: ['contoso', 'fabrikam'],
      settings: {
        [PASSWORD_SETTING]: appPassword,
        PGCMK_RETIRE_SOAK_HOURS: '0',
        PGCMK_PROVE_AFTER_SECONDS: '0',
      },
      onHostLog: () => undefined,
    });
    stops.push(stack.stop);
    const postgres = await startPostgres({ name: 'orders-1', ssl: stack.certificates });
    stops.push(postgres.stop);
    await prepareServer(postgres, appPassword);
    const session = makeSession(stack.host().url, directory, onProgress);
    await playDay({ stack, session, postgres, passwordSetting: PASSWORD_SETTING, directory });
    return `${HEAD}${session.markdown()}`;
  } finally {
    for (const end of stops.reverse()) await end().catch(() => undefined);
  }
}
