// The breaker of design 5: when most vaults turn suspect at once, the fault is probably ours (identity, network),
// and suspect verdicts are held. Definitive verdicts are never held.

export interface BreakerState {
  /** When each vault last turned suspect; only the last two minutes count. */
  readonly suspects: Readonly<Record<string, Date>>;
  readonly trippedAt: Date | null;
}

export const CLOSED_BREAKER: BreakerState = { suspects: {}, trippedAt: null };

const WINDOW_MS = 2 * 60_000;
const LEAST_VAULTS = 3;

/** Whether suspect verdicts are held at `now`. */
export const isHolding = (state: BreakerState, now: Date, holdMinutes: number): boolean =>
  state.trippedAt !== null && now.getTime() - state.trippedAt.getTime() < holdMinutes * 60_000;

/** The breaker after `vault` has turned suspect at `now`, with `vaultsInUse` vaults in all. */
export function noteSuspectVault(
  state: BreakerState,
  note: {
    readonly vault: string;
    readonly now: Date;
    readonly vaultsInUse: number;
    readonly holdMinutes: number;
  },
): BreakerState {
  const recent = Object.entries(state.suspects).filter(
    ([, at]) => note.now.getTime() - at.getTime() <= WINDOW_MS,
  );
  const suspects: Record<string, Date> = { ...Object.fromEntries(recent), [note.vault]: note.now };
  if (isHolding(state, note.now, note.holdMinutes)) return { suspects, trippedAt: state.trippedAt };
  const trips = note.vaultsInUse >= LEAST_VAULTS && Object.keys(suspects).length > note.vaultsInUse / 2;
  return { suspects, trippedAt: trips ? note.now : null };
}
