// Request line → operation. The SDK's spellings are kept: `api%2Dversion`, `/keys/k/`, `/keys/k//wrapkey`.
import { isCryptoOperation, type Operation } from './operations.ts';
import { badParameter, methodNotAllowed, VaultError } from './vault-error.ts';

export interface Route {
  readonly operation: Operation;
  /** Empty for the operations on the whole vault. */
  readonly name: string;
  /** Empty for the current version. */
  readonly version: string;
  readonly query: URLSearchParams;
}

const ONE_KEY: Readonly<Record<string, Operation>> = {
  GET: 'get',
  PATCH: 'update',
  PUT: 'import',
  DELETE: 'delete',
};

const WORDS: Readonly<Record<string, Operation>> = {
  'GET versions': 'listversions',
  'GET rotationpolicy': 'getrotationpolicy',
  'PUT rotationpolicy': 'setrotationpolicy',
  'POST create': 'create',
  'POST rotate': 'rotate',
  'POST backup': 'backup',
};

const DELETED: Readonly<Record<string, Operation>> = { GET: 'deletedkeys', DELETE: 'purge' };

const KEY_NAME = /^[0-9a-zA-Z-]{1,127}$/;

/** Throws VaultError 400, 404 or 405. */
export function parseRoute(method: string, target: string): Route {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1));
  if (!query.get('api-version')) throw badParameter('The api-version query parameter is required.');
  const [collection = '', ...rest] = toSegments(path);
  const { operation, name = '', version = '' } = resolve(method, collection.toLowerCase(), rest);
  if (name !== '' && !KEY_NAME.test(name)) {
    throw badParameter(`The request URI contains an invalid name: ${name}`);
  }
  return { operation, name, version, query };
}

interface Resolved {
  readonly operation: Operation;
  readonly name?: string;
  readonly version?: string;
}

function toSegments(path: string): readonly string[] {
  const segments = path.split('/').slice(1);
  while (segments.at(-1) === '') segments.pop();
  try {
    return path.includes('%') ? segments.map(decodeURIComponent) : segments;
  } catch {
    throw badParameter('The request URI is not well formed.');
  }
}

function resolve(method: string, collection: string, rest: readonly string[]): Resolved {
  switch (collection) {
    case 'keys':
      return resolveKeys(method, rest);
    case 'deletedkeys':
      return resolveDeleted(method, rest);
    default:
      throw new VaultError(404, 'NotFound', null, `There is nothing at /${collection}.`);
  }
}

function resolveKeys(method: string, rest: readonly string[]): Resolved {
  const [name, second = '', third = ''] = rest;
  if (name === undefined && method === 'GET') return { operation: 'list' };
  if (name === undefined || rest.length > 3) throw methodNotAllowed();
  if (rest.length === 1 && method === 'POST' && name === 'restore') return { operation: 'restore' };

  const word = (third === '' ? second : third).toLowerCase();
  if (method === 'POST' && isCryptoOperation(word)) {
    return { operation: word, name, version: third === '' ? '' : second };
  }
  if (third !== '') throw methodNotAllowed();
  const operation = WORDS[`${method} ${word}`] ?? ONE_KEY[method];
  if (operation === undefined || (second !== '' && (operation === 'import' || operation === 'delete'))) {
    throw methodNotAllowed();
  }
  return { operation, name, version: operation === 'get' || operation === 'update' ? second : '' };
}

function resolveDeleted(method: string, rest: readonly string[]): Resolved {
  const [name, word] = rest;
  if (name === undefined && method === 'GET') return { operation: 'listdeletedkeys' };
  if (name !== undefined && word === 'recover' && method === 'POST') return { operation: 'recover', name };
  const operation = word === undefined ? DELETED[method] : undefined;
  if (name === undefined || operation === undefined) throw methodNotAllowed();
  return { operation, name };
}
