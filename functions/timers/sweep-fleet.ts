// Timer: reconcile from scratch whatever is due, and finish what was left half done.

export interface SweepFleetPorts {
  readonly sweepFleet: () => Promise<void>;
}

export const makeSweepFleetHandler =
  ({ sweepFleet }: SweepFleetPorts) =>
  (): Promise<void> =>
    sweepFleet();
