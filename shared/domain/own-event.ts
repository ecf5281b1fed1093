// The events this app publishes (design 11): transitions only, each with an id that names the transition, so that
// a repeat is recognised by it.

export type OwnEventType =
  | 'PgCmk.KeyUnusable'
  | 'PgCmk.KeyUsable'
  | 'PgCmk.KeyNearExpiry'
  | 'PgCmk.RotationStarted'
  | 'PgCmk.RotationCompleted'
  | 'PgCmk.RotationBlocked'
  | 'PgCmk.ServerInaccessible'
  | 'PgCmk.ServerReady'
  | 'PgCmk.DekAssigned'
  | 'PgCmk.ControlPlaneDegraded';

export interface OwnEvent {
  /** `{key version id}:{epoch}:{type}` or `{serverId}:{accessEpoch}`: a repeat is recognised by it. */
  readonly id: string;
  readonly type: OwnEventType;
  /** The key URL or the server id that it is about. */
  readonly subject: string;
  readonly time: Date;
  readonly data: Readonly<Record<string, unknown>>;
}
