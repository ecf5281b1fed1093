// Every refusal of Key Vault, in the shape it has on the wire (azure-facts 3.5).

/** `{"error": {"code", "message", "innererror": {"code"}}}` with its status. */
export class VaultError extends Error {
  readonly status: number;
  readonly code: string;
  readonly innerCode: string | null;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    innerCode: string | null,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = 'VaultError';
    this.status = status;
    this.code = code;
    this.innerCode = innerCode;
    this.headers = headers;
  }

  toBody(): string {
    const inner = this.innerCode === null ? {} : { innererror: { code: this.innerCode } };
    return JSON.stringify({ error: { code: this.code, message: this.message, ...inner } });
  }
}

export const badParameter = (message: string): VaultError =>
  new VaultError(400, 'BadParameter', null, message);

export const forbidden = (innerCode: string, message: string): VaultError =>
  new VaultError(403, 'Forbidden', innerCode, message);

export const keyDisabled = (operation: string): VaultError =>
  forbidden('KeyDisabled', `Operation ${operation} is not allowed on a disabled key.`);

export const keyNotFound = (name: string): VaultError =>
  new VaultError(
    404,
    'KeyNotFound',
    null,
    `A key with (name/id) ${name} was not found in this key vault. If you recently deleted this key you may be able to recover it using the correct recovery command.`,
  );

export const deletedKeyNotFound = (name: string): VaultError =>
  new VaultError(404, 'KeyNotFound', null, `Deleted Key not found: ${name}`);

export const conflict = (innerCode: string | null, message: string): VaultError =>
  new VaultError(409, 'Conflict', innerCode, message);

export const throttled = (retryAfterSeconds: number | null): VaultError =>
  new VaultError(
    429,
    'Throttled',
    null,
    'Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached',
    retryAfterSeconds === null ? {} : { 'Retry-After': String(retryAfterSeconds) },
  );

export const unauthorized = (message: string, authority: string): VaultError =>
  new VaultError(401, 'Unauthorized', null, message, {
    'WWW-Authenticate': `Bearer authorization="${authority}", resource="https://vault.azure.net"`,
  });

export const methodNotAllowed = (): VaultError =>
  new VaultError(405, 'MethodNotAllowed', null, 'Method not allowed.');
