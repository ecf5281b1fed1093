// Actions as commands of fast-check, against what was promised.
import fc from 'fast-check';
import { type Action, givenBack, toText, WORKERS } from './actions.ts';
import { PLACES } from './io.ts';
import { Machine, type Plants } from './machine.ts';
import { Promised } from './promise.ts';
import { KEKS, SERVERS } from './site.ts';
import { type Refusal, TROUBLES, type Trouble } from './vault.ts';

export class Perform implements fc.Command<Promised, Machine> {
  readonly action: Action;
  constructor(action: Action) {
    this.action = action;
  }
  check(): boolean {
    return true;
  }
  run(promised: Promised, machine: Machine): void {
    machine.perform(this.action);
    promised.note(this.action, machine);
    promised.check(machine);
  }
  toString(): string {
    return toText(this.action);
  }
}

const key = fc.nat(KEKS.length - 1);
const version = fc.nat(2);
const server = fc.nat(SERVERS.length - 1);
const worker = fc.nat(WORKERS.length - 1);
const position = fc.nat(7);
const database = fc.constantFrom('app', 'postgres');
const refusals: readonly Refusal[] = ['ForbiddenByRbac', 'ForbiddenByFirewall'];
const isTrouble = (name: string): name is Trouble => Object.hasOwn(TROUBLES, name);

const customer: readonly fc.Arbitrary<Action>[] = [
  fc.record({ do: fc.constant('rotate'), key }),
  fc.record({
    do: fc.constantFrom('enable', 'disable', 'expire', 'extend', 'expire in a minute'),
    key,
    version,
  }),
  fc.record({ do: fc.constantFrom('enable', 'disable'), key, version }),
  fc.record({ do: fc.constantFrom('delete', 'recover'), key }),
  fc.record({ do: fc.constant('refuse'), key, how: fc.constantFrom(...refusals) }),
  fc.record({ do: fc.constant('allow'), key }),
  fc.record({ do: fc.constantFrom('close', 'open'), server, database }),
];
const faults: readonly fc.Arbitrary<Action>[] = [
  fc.record({
    do: fc.constant('trouble'),
    key,
    how: fc.constantFrom(...Object.keys(TROUBLES).filter(isTrouble)),
  }),
  fc.record({ do: fc.constant('heal'), key }),
  fc.record({ do: fc.constantFrom('stop server', 'start server'), server }),
  fc.record({ do: fc.constantFrom('lose', 'duplicate', 'delay', 'prefer'), position }),
  fc.record({ do: fc.constantFrom('crash', 'freeze', 'thaw'), worker }),
  fc.record({
    do: fc.constant('trap'),
    worker,
    place: fc.constantFrom(...PLACES),
    how: fc.constantFrom('crash', 'freeze', 'freeze'),
  }),
  fc.record({
    do: fc.constant('trap'),
    worker: fc.constantFrom(6, 7),
    place: fc.constant('postgres'),
    how: fc.constant('freeze'),
  }),
  fc.record({ do: fc.constant('spoil'), worker, how: fc.constantFrom('before', 'after', 'conflict') }),
];
const work: readonly fc.Arbitrary<Action>[] = [
  fc.record({ do: fc.constant('hint'), key: fc.nat(KEKS.length) }),
  fc.record({ do: fc.constantFrom('probe', 'sweep') }),
  fc.record({ do: fc.constant('step'), worker, steps: fc.integer({ min: 1, max: 16 }) }),
  fc.record({ do: fc.constant('step'), worker, steps: fc.integer({ min: 1, max: 16 }) }),
  fc.record({ do: fc.constant('step'), worker, steps: fc.integer({ min: 1, max: 16 }) }),
  fc.record({ do: fc.constantFrom('work', 'go on', 'go on', 'go on') }),
  fc.record({ do: fc.constant('go on') }),
  fc.record({ do: fc.constant('wait'), seconds: fc.constantFrom(1, 4, 31, 70, 400, 90_000) }),
];

export const anyAction: fc.Arbitrary<Action> = fc.oneof(...customer, ...faults, ...work);

export const traces = (maxCommands = 40) =>
  fc.commands<Promised, Machine>([anyAction.map((action) => new Perform(action))], {
    maxCommands,
    size: 'max',
  });

export type Trace = Iterable<fc.Command<Promised, Machine>>;

/** Runs a trace and what follows: faults stop and all comes to rest; and all is given back. Returns the steps. */
export function runTrace(trace: Trace, plants: Plants = {}): number {
  const machine = new Machine(plants);
  const promised = new Promised(machine);
  machine.onStep = () => promised.check(machine);
  fc.modelRun(() => ({ model: promised, real: machine }), trace);
  machine.settle();
  promised.checkSettled(machine);
  for (const action of givenBack(promised.versions)) {
    machine.perform(action);
    promised.note(action, machine);
  }
  machine.settle();
  promised.checkWhole(machine);
  return machine.steps;
}
