// Starts what a rotation would do by itself, or resumes one that was halted.
import type { KekId } from '../domain/key-id.ts';

export interface StartCommand {
  readonly kek: KekId;
  readonly by: string;
}

/** The same command again changes nothing. @throws CmkError KekNotFound, RotationNotPossible, StoreUnavailable */
export type StartRewrap = (command: StartCommand) => Promise<void>;
