// What a process takes, from outside: resident memory and CPU. Linux only.
import { readFileSync } from 'node:fs';

export interface Usage {
  readonly beforeMiB: number;
  readonly peakMiB: number;
  readonly cpuSeconds: number;
}

const SAMPLE_MS = 100;
/** Of /proc/…/stat; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export function residentMiB(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) / 1024;
}

export function cpuSeconds(pid: number): number {
  // After the name, which may hold anything but a closing parenthesis at its end.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Children of this process whose command line holds `part`. */
export function findChild(part: string): number | null {
  const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ');
  const found = pids.find((pid) => pid !== '' && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(part));
  return found === undefined ? null : Number(found);
}

/** Samples until the function it returns is called; the process may have ended by then. */
export function watchProcess(pid: number): () => Usage {
  const beforeMiB = residentMiB(pid);
  const cpuBefore = cpuSeconds(pid);
  let last: Usage = { beforeMiB, peakMiB: beforeMiB, cpuSeconds: 0 };
  const sample = () => {
    try {
      last = {
        beforeMiB,
        peakMiB: Math.max(last.peakMiB, residentMiB(pid)),
        cpuSeconds: cpuSeconds(pid) - cpuBefore,
      };
    } catch {
      // Gone: what was seen last stands.
    }
  };
  const timer = setInterval(sample, SAMPLE_MS);
  return () => {
    clearInterval(timer);
    sample();
    return last;
  };
}
