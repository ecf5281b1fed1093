// The network of a chaos run: a proxy on every wire, with faults that come and go.
import { mulberry32 } from '../mulberry32.ts';
import type { Network } from '../stack/start-stack.ts';
import { type FaultProxy, type FaultProxyOptions, startFaultProxy } from './fault-proxy.ts';
import { toFault } from './faults.ts';
import type { FaultName, Wire } from './plan.ts';

export interface ChaosNetwork extends Network {
  /** Faults on a wire until the answer is called; several add up. */
  disturb(wire: Wire, faults: readonly FaultName[], chance: number, seed: number): () => void;
  /** Every fault ends, and what hangs is cut off. */
  calm(): void;
  /** How often each fault was met since the start: `table: 412`. */
  met(): ReadonlyMap<string, number>;
  /** How many messages the poison queues have taken. */
  poisoned(): number;
  stop(): Promise<void>;
}

interface Disturbance {
  readonly wire: Wire;
  readonly faults: readonly FaultName[];
  readonly chance: number;
  readonly random: () => number;
}

const SERVICES = ['table', 'queue', 'blob'] as const;
const endpointOf = (service: (typeof SERVICES)[number]) =>
  new RegExp(`${service}Endpoint=(http://[^/;]+)`, 'i');

export function makeChaosNetwork(): ChaosNetwork {
  const disturbances = new Set<Disturbance>();
  const proxies: FaultProxy[] = [];
  const met = new Map<string, number>();
  let poisoned = 0;

  const choose =
    (wire: Wire): FaultProxyOptions['choose'] =>
    (request) => {
      for (const { faults, chance, random, ...one } of disturbances) {
        if (one.wire !== wire || random() >= chance) continue;
        const name = faults[Math.floor(random() * faults.length)];
        const fault = name && toFault(wire, name, request, random());
        if (fault === undefined) continue;
        met.set(`${wire}: ${name}`, (met.get(`${wire}: ${name}`) ?? 0) + 1);
        return fault;
      }
      return undefined;
    };
  const place = async (wire: Wire, options: Omit<FaultProxyOptions, 'choose'>): Promise<number> => {
    const proxy = await startFaultProxy({ ...options, choose: choose(wire) });
    proxies.push(proxy);
    return proxy.port;
  };
  const calm = () => {
    disturbances.clear();
    for (const proxy of proxies) proxy.calm();
  };

  return {
    storage: async (connectionString) => {
      let fronted = connectionString;
      for (const service of SERVICES) {
        const target = endpointOf(service).exec(connectionString)?.[1];
        const port = await place(service, {
          target: () => target,
          onAnswer: ({ method, path }, status) => {
            if (method === 'POST' && status === 201 && path.endsWith('-poison/messages')) poisoned += 1;
          },
        });
        if (target !== undefined) fronted = fronted.replace(target, `http://127.0.0.1:${port}`);
      }
      return fronted;
    },
    vault: (name, port, tls) => {
      if (name !== 'payments' && name !== 'ledger') throw new RangeError(`no wire to the vault ${name}`);
      return place(name, { target: () => `https://127.0.0.1:${port}`, tls });
    },
    webhook: async (hosts) => {
      let turn = 0;
      const next = () => {
        const urls = hosts();
        turn += 1;
        return urls[turn % urls.length];
      };
      return `http://127.0.0.1:${await place('webhook', { target: next })}`;
    },
    disturb: (wire, faults, chance, seed) => {
      const one = { wire, faults, chance, random: mulberry32(seed) };
      disturbances.add(one);
      return () => void disturbances.delete(one);
    },
    calm,
    met: () => met,
    poisoned: () => poisoned,
    stop: async () => {
      calm();
      await Promise.all(proxies.map((proxy) => proxy.stop()));
    },
  };
}
