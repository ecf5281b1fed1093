// The one way this host refuses to start, and how anything thrown becomes an Error.

/** The host can't run this app: it throws at import, or a binding, a setting or host.json is wrong. */
export class HostStartError extends Error {
  readonly code = 'HOST_START_FAILED';
  override readonly name = 'HostStartError';
}

export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}
