// Everything of the outside that a command touches, besides files: so that a test can stand in for it.

export type OutputStream = NodeJS.WritableStream & {
  readonly isTTY?: boolean;
  readonly columns?: number;
};

/** What of a credential of @azure/identity is used. */
export interface TokenCredential {
  getToken(scope: string): Promise<{ readonly token: string } | null>;
}

export interface CliIo {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly fetch: typeof globalThis.fetch;
  readonly now: () => Date;
  readonly sleep: (milliseconds: number) => Promise<void>;
  /** Loaded only when it is needed: it is slow to load. */
  readonly loadCredential: () => Promise<TokenCredential>;
}
