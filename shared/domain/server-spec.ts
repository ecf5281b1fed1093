// How a server is registered: what the customer chose for it, and how the app reaches it (design 6 and 8).

/** What to do when the key is lost. `alertOnly` closes nothing and only reports. */
export type KeyLossPolicy = 'terminate' | 'drain' | 'denyNew' | 'alertOnly';

export type PostgresAuth =
  | { readonly kind: 'entra' } // an Entra token of the app's identity is the password
  | { readonly kind: 'setting'; readonly name: string }; // the name of the app setting that holds the password

export type TlsMode = 'verify-full' | 'verify-ca' | 'require' | 'disable';

export interface PostgresAccess {
  readonly kind: 'postgres';
  readonly host: string;
  readonly port: number;
  /** The database that stays open for the app; PUBLIC has no CONNECT on it. Holds schema `pgcmk`. */
  readonly maintenanceDatabase: string;
  /** Databases that are never closed, such as `azure_sys` or `rdsadmin`. */
  readonly excludeDatabases: readonly string[];
  readonly user: string;
  readonly tls: TlsMode;
  readonly auth: PostgresAuth;
}

/** `none`: pg-cmk decides about the DEK's release only. */
export type AccessSpec = { readonly kind: 'none' } | PostgresAccess;

/** Whether no token goes to a host that need not prove who it is: it is the password, to whoever answers there. */
export const isTokenSafe = (access: AccessSpec): boolean =>
  access.kind === 'none' || access.auth.kind !== 'entra' || access.tls === 'verify-full';

/** Whether the host is one of these, or under one of them. */
export function isAmongHosts(host: string, among: readonly string[]): boolean {
  const name = host.toLowerCase();
  return among.some((one) => name === one || name.endsWith(`.${one}`));
}
