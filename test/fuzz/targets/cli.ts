// What pg-cmk is given: arguments, files, and the answers of whatever is at the other end.

import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompactEncrypt, createLocalJWKSet, importJWK, type JWK } from 'jose';
import { parseAnswer } from '../../../cli/answers.ts';
import { label, list, parseKey, parseVersionArgument, time, whole } from '../../../cli/arguments.ts';
import { ApiProblem, makeApiClient } from '../../../cli/client.ts';
import { askDek } from '../../../cli/dek/ask-dek.ts';
import { makeTokenSource } from '../../../cli/token.ts';
import { makeChainCheck } from '../../../cli/verify/check-chains.ts';
import { checkStatement, readKeys } from '../../../cli/verify/check-statement.ts';
import { findCutOff, toHeads } from '../../../cli/verify/heads.ts';
import { isRecord } from '../../../functions/events/event-fields.ts';
import { toKey } from '../../../functions/http/to-key.ts';
import { AuditPage } from '../../../shared/api/audit.ts';
import { KeyPage } from '../../../shared/api/keys.ts';
import { ServerPage } from '../../../shared/api/servers.ts';
import { chainRecord } from '../../../shared/domain/audit.ts';
import { Dek } from '../../../shared/domain/dek.ts';
import { makeStatementSigner } from '../../../shared/jose/sign-statement.ts';
import { fullKek, fullVersion } from '../../fixtures/rows.ts';
import { ARGUMENT, jsonTarget, type Target, textTarget, valueTarget } from '../target.ts';

const V = 'a'.repeat(32);
/** What is asked for at once has 1,000 items at most. */
const PAGE = 32 * 1024;
const NOW = new Date('2030-01-01T00:00:00Z');
const kek = { vault: 'v1.vault.azure.net', name: 'k1' };

const noSleep = async (): Promise<void> => undefined;
const loadCredential = async () => ({ getToken: async () => null });

const ANSWER_CODES = ['AnswerNotUnderstood', 'AppUnreachable', 'ServerNotFound'];
const problem = {
  type: 'urn:pg-cmk:problem:ServerNotFound',
  title: 'Server not found',
  status: 404,
  code: 'ServerNotFound',
  detail: 'there is no db-1',
  remedy: 'Look at the list.',
  faults: [{ pointer: '/a', message: 'b' }],
};

/** Any status that an answer can have, any header that it can carry. */
function toResponse(input: unknown): Response {
  const { status, headers, text } = Object(input);
  const isStatus =
    Number.isInteger(status) && status >= 200 && status <= 599 && ![204, 205, 304].includes(status);
  const sent = new Headers();
  for (const [name, value] of Object.entries(isRecord(headers) ? headers : {})) {
    try {
      sent.set(name, String(value));
    } catch {
      // No connection carries it.
    }
  }
  return new Response(typeof text === 'string' ? text : String(JSON.stringify(text ?? '')), {
    status: isStatus ? status : 200,
    headers: sent,
  });
}

const clientOf = (answer: () => Response) =>
  makeApiClient({
    url: 'https://app.example',
    token: () => async () => 'token',
    io: { fetch: async () => answer(), sleep: noSleep, now: () => NOW },
  });

const key = toKey({
  stored: {
    kek: { value: fullKek(kek), etag: '1' },
    versions: [{ value: fullVersion(1), etag: '1' }],
  },
  newestExport: null,
});

const signer = makeStatementSigner({
  key: generateKeyPairSync('ed25519').privateKey,
  issuer: 'https://app.example',
  clock: { now: () => NOW },
});
const jwks = await signer.publicKeys();
const statement = await signer.sign({
  kind: 'VersionRetired',
  sub: `https://v1.vault.azure.net/keys/k1/${V}`,
  auditHead: { chain: 'app', sequence: 3, hash: 'a'.repeat(64) },
});
const keySet = createLocalJWKSet({ keys: jwks.keys.map((one) => ({ ...one })) });

const folder = mkdtempSync(join(tmpdir(), 'fuzz-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Through a file, as the command has it. */
async function useKeys(text: string): Promise<unknown> {
  const file = join(folder, 'keys.json');
  writeFileSync(file, text);
  return checkStatement(statement, await readKeys(file), NOW);
}

const record = chainRecord('app', null, 'o/1', '{}');
const entry = JSON.stringify({ chain: 'app', ...record });
const next = JSON.stringify({ chain: 'app', ...chainRecord('app', record, 'o/2', '{"n":2}') });

function checkLines(text: string): unknown {
  const check = makeChainCheck({ isFiltered: false, wanted: new Map([['app', [1, 2]]]) });
  for (const line of [entry, text, next]) check.add(line);
  const { chains, unreadable } = check.report();
  return [chains, unreadable, check.hashAt('app', 1), findCutOff(chains, toHeads({ auditHead: record }))];
}

const dek = new Dek(Uint8Array.from({ length: 32 }, (_, index) => index));
const header = { alg: 'ECDH-ES', enc: 'A256GCM', typ: 'pg-cmk-dek+jwe', sub: 'db-1', dekId: dek.id };
const released = {
  serverId: 'db-1',
  dekId: dek.id,
  leaseExpiresOn: '2030-01-01T00:05:00.000Z',
  keyId: `https://v1.vault.azure.net/keys/k1/${V}`,
  wrappedDek: {
    kekVersion: V,
    algorithm: 'RSA-OAEP-256',
    format: 'bound-1',
    dekId: dek.id,
    ciphertext: 'A'.repeat(342),
  },
};

/** The DEK is sealed to the key of the request, so it can only be made when that is known. */
async function release(input: unknown): Promise<unknown> {
  const { answer, seal } = Object(input);
  const api = {
    request: async (_method: string, _path: string, options: { readonly body?: unknown } = {}) => {
      const { publicKey }: { publicKey: JWK } = Object(options.body);
      const made = dek.read((bytes) =>
        new CompactEncrypt(bytes).setProtectedHeader({
          ...header,
          iat: 1_893_456_000,
          exp: 1_893_456_300,
          ...Object(seal),
        }),
      );
      const jwe = await made.encrypt(await importJWK(publicKey, 'ECDH-ES')).catch(() => 'a.b.c.d.e');
      return { status: 200, etag: null, headers: new Headers(), body: { jwe, ...Object(answer) } };
    },
  };
  const held = await askDek(api, { monotonicMs: () => 0 }, 'db-1');
  held.dek[Symbol.dispose]();
  return held.lease;
}

export const cliTargets: readonly Target[] = [
  textTarget({
    name: 'arguments: keys',
    most: ARGUMENT,
    codes: ['InvalidArgument'],
    examples: [
      `https://v1.vault.azure.net/keys/k1/${V}`,
      'v1.vault.azure.net/k1',
      `v1.vault.azure.net/keys/k1/${V}`,
    ],
    parse: parseKey,
  }),
  textTarget({
    name: 'arguments: versions',
    most: ARGUMENT,
    codes: ['InvalidArgument'],
    examples: [V],
    parse: parseVersionArgument,
  }),
  textTarget({
    name: 'arguments: numbers',
    most: ARGUMENT,
    codes: ['InvalidArgument'],
    examples: ['1', '1000'],
    parse: whole(1, 1000),
  }),
  textTarget({
    name: 'arguments: labels and lists',
    most: ARGUMENT,
    codes: ['InvalidArgument'],
    examples: ['team=payments,orders', 'a=b'],
    parse: (text) => [list(text), label(text, { a: 'b' })],
  }),
  textTarget({
    name: 'arguments: times',
    most: ARGUMENT,
    codes: ['UsageWrong'],
    examples: ['30m', '7d', '2026-11-24T12:00:00Z'],
    parse: (text) => time(text, NOW),
  }),
  textTarget({
    name: 'URLs of the app',
    most: ARGUMENT,
    codes: ['ConfigWrong'],
    examples: ['https://app.azurewebsites.net/api/', 'http://localhost:7071'],
    parse: (url) => {
      makeApiClient({ url, token: () => async () => '', io: { fetch, sleep: noSleep, now: () => NOW } });
    },
  }),
  textTarget({
    name: 'tokens of the command line',
    most: ARGUMENT,
    codes: ['ConfigWrong', 'ConfigMissing'],
    examples: ['eyJhbGciOiJFUzI1NiJ9.e30.c2ln'],
    parse: (text) => makeTokenSource({ env: { PG_CMK_TOKEN: text }, loadCredential })(),
  }),
  valueTarget({
    name: 'answers of the app',
    codes: [...ANSWER_CODES, 'ConfigWrong'],
    examples: [
      { status: 200, headers: { etag: '"a"', 'retry-after': '7' }, text: '{"keys":[],"cursor":null}' },
    ],
    parse: (input) => clientOf(() => toResponse(input)).request('GET', '/api/keys'),
  }),
  jsonTarget({
    name: 'problems of the app',
    codes: ANSWER_CODES,
    examples: [JSON.stringify(problem)],
    parse: async (text) => {
      const api = clientOf(() =>
        toResponse({ status: 404, headers: { 'retry-after': text.slice(0, 80) }, text }),
      );
      // A refusal is what is read here; what can't be read as one is AnswerNotUnderstood.
      return api.request('GET', '/api/servers/db-1').catch((error: unknown) => {
        if (error instanceof ApiProblem) return [error.code, error.faults, error.members];
        throw error;
      });
    },
  }),
  valueTarget({
    name: 'listings of the app: keys',
    most: PAGE,
    codes: ANSWER_CODES,
    examples: [{ keys: [key], cursor: 'c' }],
    parse: (body) => parseAnswer(KeyPage, { body }),
  }),
  valueTarget({
    name: 'listings of the app: audit',
    most: PAGE,
    codes: ANSWER_CODES,
    examples: [{ records: [JSON.parse(entry)], cursor: null }],
    parse: (body) => parseAnswer(AuditPage, { body }),
  }),
  valueTarget({
    name: 'listings of the app: servers',
    most: PAGE,
    codes: ANSWER_CODES,
    examples: [{ servers: [], held: [{ serverId: 'db-1', problem: 'p' }], cursor: null }],
    parse: (body) => parseAnswer(ServerPage, { body }),
  }),
  valueTarget({
    name: 'released DEKs',
    codes: ['AnswerNotUnderstood', 'DekNotTrusted'],
    examples: [{ answer: released, seal: {} }],
    parse: release,
    share: 0.1,
  }),
  jsonTarget({ name: 'lines of an audit export', codes: [], examples: [next, entry], parse: checkLines }),
  textTarget({
    name: 'signed statements',
    codes: [],
    examples: [statement],
    parse: async (text) => checkStatement(text, keySet, NOW),
    share: 0.5,
  }),
  jsonTarget({
    name: 'files of public keys',
    codes: ['FileUnusable'],
    examples: [JSON.stringify(jwks), JSON.stringify(jwks.keys[0])],
    parse: useKeys,
    share: 0.2,
  }),
];
