// Who calls the HTTP API, as their token says it (design 9).

export const ROLES = ['Fleet.Read', 'Fleet.Operate', 'Dek.Assign', 'Dek.Unwrap', 'Keys.Retire'] as const;
export type Role = (typeof ROLES)[number];

export interface Caller {
  /** The object id in Entra; what a server's `principalId` is compared with. */
  readonly principalId: string;
  readonly roles: readonly Role[];
}
