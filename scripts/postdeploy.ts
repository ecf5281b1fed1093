// azd's postdeploy hook (azure.yaml): the Azure CLI, the clock and the console, for subscribe-events.ts.
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { subscribeEvents } from './subscribe-events.ts';

const isWindows = process.platform === 'win32';

await subscribeEvents({
  environment: process.env,
  az: (args) => {
    // On Windows az is a command file, which only a shell starts; no argument has blanks or quotes but the query.
    const run = spawnSync('az', isWindows ? args.map((one) => `"${one}"`) : args, {
      encoding: 'utf8',
      shell: isWindows,
    });
    if (run.error !== undefined) return { ok: false, output: `az: ${run.error.message}` };
    return { ok: run.status === 0, output: (run.status === 0 ? run.stdout : run.stderr).trim() };
  },
  sleep: async (milliseconds) => {
    await sleep(milliseconds);
  },
  say: (line) => console.log(line),
}).catch((error: unknown) => {
  console.error(`postdeploy: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
