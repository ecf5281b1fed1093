// Statements signed with the app's own key pair (RFC 7515), which anybody can check offline.

export interface StatementSigner {
  /** A compact JWS (EdDSA) of the claims; `iat` and `iss` are added. */
  sign(claims: Readonly<Record<string, unknown>>): Promise<string>;
  /** The public key as a JWK set, for whoever checks. */
  publicKeys(): Promise<{ readonly keys: readonly Readonly<Record<string, unknown>>[] }>;
}
