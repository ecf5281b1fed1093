// The host processes of a stack, side by side on the same storage. Each keeps its port when it is started again.
import type { HostProcess } from '../host/spawn-host.ts';

export interface Hosts {
  readonly count: number;
  /** The one that runs, or ran last, at that place. */
  at(index: number): HostProcess;
  /** The addresses of those that run now. */
  urls(): readonly string[];
  /** As a crash would. Nothing happens to one that is down. */
  kill(index: number): Promise<void>;
  /** Nothing happens to one that runs. */
  start(index: number): Promise<void>;
  stop(): Promise<void>;
}

interface Place {
  readonly port: number;
  host: HostProcess;
  running: boolean;
  /** The change under way, if any: one at a time. */
  last: Promise<void>;
}

/** @param firstPort of the first host; the others take free ones */
export async function startHosts(
  count: number,
  firstPort: number,
  spawn: (port: number) => Promise<HostProcess>,
): Promise<Hosts> {
  const places = await Promise.all(
    Array.from({ length: count }, async (_, index): Promise<Place> => {
      const host = await spawn(index === 0 ? firstPort : 0);
      return { port: Number(new URL(host.url).port), host, running: true, last: Promise.resolve() };
    }),
  );
  const place = (index: number): Place => {
    const found = places[index];
    if (found === undefined) throw new RangeError(`there is no host ${index}`);
    return found;
  };
  const inTurn = (index: number, change: (one: Place) => Promise<void>): Promise<void> => {
    const one = place(index);
    one.last = one.last.catch(() => undefined).then(() => change(one));
    return one.last;
  };
  return {
    count,
    at: (index) => place(index).host,
    urls: () => places.filter(({ running }) => running).map(({ host }) => host.url),
    kill: (index) =>
      inTurn(index, async (one) => {
        one.running = false;
        await one.host.kill();
      }),
    start: (index) =>
      inTurn(index, async (one) => {
        if (one.running) return;
        one.host = await spawn(one.port);
        one.running = true;
      }),
    stop: async () => {
      await Promise.all(places.map((one) => one.last.catch(() => undefined).then(() => one.host.stop())));
    },
  };
}
