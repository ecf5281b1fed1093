// A bar on a terminal; elsewhere a line when something changed. Always on stderr.
import { Presets, SingleBar } from 'cli-progress';
import type { CliIo } from './io.ts';

export interface ProgressBar {
  show(done: number, total: number, status: string): void;
  stop(): void;
}

export function makeProgressBar({ stderr }: Pick<CliIo, 'stderr'>): ProgressBar {
  return stderr.isTTY === true ? makeBar(stderr) : makeLines(stderr);
}

function makeBar(stream: NodeJS.WritableStream): ProgressBar {
  const bar = new SingleBar(
    {
      stream,
      format: '{bar} {value}/{total}  {status}',
      barsize: 30,
      hideCursor: false,
      linewrap: null,
      gracefulExit: false,
    },
    Presets.shades_classic,
  );
  let isStarted = false;
  return {
    show: (done, total, status) => {
      if (!isStarted) bar.start(total, done, { status });
      isStarted = true;
      bar.setTotal(total);
      bar.update(done, { status });
    },
    stop: () => {
      if (isStarted) bar.stop();
    },
  };
}

function makeLines(stream: NodeJS.WritableStream): ProgressBar {
  let last = '';
  return {
    show: (done, total, status) => {
      const text = `${done}/${total} ${status}`;
      if (text !== last) stream.write(`${text}\n`);
      last = text;
    },
    stop: () => {},
  };
}
