// Timer: unwrap a canary under every key version in use, or hand that out in shards. A tick that fails is followed by
// the next: nothing is retried here.

export interface ProbeKeksPorts {
  readonly probeKeks: () => Promise<void>;
}

export const makeProbeKeksHandler =
  ({ probeKeks }: ProbeKeksPorts) =>
  (): Promise<void> =>
    probeKeks();
