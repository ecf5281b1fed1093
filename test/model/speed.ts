// How fast the model runs: `node test/model/speed.ts [traces]`.
import fc from 'fast-check';
import { runTrace, traces } from './commands.ts';

const numRuns = Number(process.argv[2] ?? 2000);
const started = performance.now();
const cpu = process.cpuUsage();
let steps = 0;
let commands = 0;
fc.assert(
  fc.property(traces(), (trace) => {
    commands += [...trace].length;
    steps += runTrace(trace);
  }),
  { numRuns },
);
const seconds = (performance.now() - started) / 1000;
const { user, system } = process.cpuUsage(cpu);
const busy = (user + system) / 1e6;
const rate = (count: number, of: number) => Math.round(count / of).toLocaleString('en');
process.stdout.write(
  `${numRuns} traces, ${commands} commands, ${steps} steps of workers in ${seconds.toFixed(1)} s, ${busy.toFixed(1)} s of them busy:\n` +
    `${rate(steps, seconds)} steps a second; ${rate(steps, busy)} steps and ${rate(commands, busy)} commands a busy second\n`,
);
