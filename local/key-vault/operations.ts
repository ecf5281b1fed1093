// The names of what a vault can be asked to do: used by the routes, the counters and the access switches.

export const OPERATIONS = [
  'create',
  'import',
  'get',
  'list',
  'listversions',
  'update',
  'rotate',
  'getrotationpolicy',
  'setrotationpolicy',
  'wrapkey',
  'unwrapkey',
  'encrypt',
  'decrypt',
  'backup',
  'restore',
  'delete',
  'deletedkeys',
  'listdeletedkeys',
  'recover',
  'purge',
] as const;

export type Operation = (typeof OPERATIONS)[number];
export type CryptoOperation = 'wrapkey' | 'unwrapkey' | 'encrypt' | 'decrypt';

/** The spelling of `key_ops` (RFC 7517 section 4.3), which the routes write in lower case. */
export const KEY_OPERATIONS: Readonly<Record<CryptoOperation, string>> = {
  wrapkey: 'wrapKey',
  unwrapkey: 'unwrapKey',
  encrypt: 'encrypt',
  decrypt: 'decrypt',
};

export function isCryptoOperation(name: string): name is CryptoOperation {
  return Object.hasOwn(KEY_OPERATIONS, name);
}
