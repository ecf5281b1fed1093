import { createServer, type Server, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PostgresAccess } from '../../../shared/domain/server-spec.ts';
import type { PostgresSettings } from '../../../shared/postgres/settings.ts';
import type { ServerUnderTest } from '../../contracts/server-access.ts';
import {
  LOCALHOST_CERTIFICATE_PEM,
  LOCALHOST_KEY_PEM,
  OTHER_CA_PEM,
  TEST_CA_PEM,
} from '../../fixtures/postgres-certificates.ts';
import {
  APP_PASSWORD,
  type PostgresUnderTest,
  startPostgresUnderTest,
} from '../../fixtures/postgres-under-test.ts';

let postgres: PostgresUnderTest;
let server: ServerUnderTest;
let access: PostgresAccess;

beforeAll(async () => {
  postgres = await startPostgresUnderTest({
    ssl: { certPem: LOCALHOST_CERTIFICATE_PEM, keyPem: LOCALHOST_KEY_PEM },
  });
});

beforeEach(async () => {
  server = await postgres.start([]);
  access = server.access;
});

afterAll(() => postgres?.stop());

const ask = (how: Partial<PostgresAccess>, settings: Partial<PostgresSettings> = {}) =>
  postgres.makeAccess(settings).inspect({ ...access, ...how });
const answered = { role: 'primary', epoch: 0 };
const tlsFailed = { code: 'ServerTlsFailed', retryable: false };

describe('TLS', () => {
  test('verify-full takes a certificate for the host, from the authority that is trusted', async () => {
    expect(await ask({ tls: 'verify-full' }, { caPem: TEST_CA_PEM })).toMatchObject(answered);
  });

  test('verify-full refuses another authority, and a private one that nobody named', async () => {
    await expect(ask({ tls: 'verify-full' }, { caPem: OTHER_CA_PEM })).rejects.toMatchObject(tlsFailed);
    await expect(ask({ tls: 'verify-full' })).rejects.toMatchObject(tlsFailed);
  });

  test('verify-full refuses a certificate for another host, where the host is an address too', async () => {
    const refused = ask({ tls: 'verify-full', host: '127.0.0.1' }, { caPem: TEST_CA_PEM });
    await expect(refused).rejects.toMatchObject(tlsFailed);
  });

  test('verify-ca takes any host, but no other authority', async () => {
    const how = { tls: 'verify-ca', host: '127.0.0.1' } as const;
    expect(await ask(how, { caPem: TEST_CA_PEM })).toMatchObject(answered);
    await expect(ask(how, { caPem: OTHER_CA_PEM })).rejects.toMatchObject(tlsFailed);
  });

  test('require takes any certificate', async () => {
    expect(await ask({ tls: 'require' }, { caPem: OTHER_CA_PEM })).toMatchObject(answered);
  });

  test('disable takes none, so a server that insists on TLS refuses the login', async () => {
    await expect(ask({ tls: 'disable' })).rejects.toMatchObject({ code: 'ServerAuthFailed' });
  });

  test.each(['verify-full', 'verify-ca', 'require'] as const)(
    '%s never falls back to plain text',
    async (tls) => {
      const plain = await listen((socket) => socket.once('data', () => socket.write('N')));
      await expect(ask({ tls, port: plain.port })).rejects.toMatchObject(tlsFailed);
      expect(plain.received().includes('cmk')).toBe(false);
    },
  );
});

describe('login', () => {
  test('setting: the app setting holds the password', async () => {
    expect(await ask({})).toMatchObject(answered);
  });

  test.each([undefined, ''])(
    'setting: one that is %j is missing, and the server is never asked',
    async (value) => {
      const asked = ask({ port: 1 }, { readSecretSetting: () => value });
      await expect(asked).rejects.toMatchObject({
        code: 'SecretSettingMissing',
        retryable: false,
        detail: { setting: 'CMK_PASSWORD' },
      });
    },
  );

  test('entra: the token is the password', async () => {
    const how = { auth: { kind: 'entra' } } as const;
    expect(await ask(how, { getEntraToken: async () => APP_PASSWORD })).toMatchObject(answered);
    await expect(ask(how, { getEntraToken: async () => 'eyJ-expired' })).rejects.toMatchObject({
      code: 'ServerAuthFailed',
    });
  });

  test('entra: no token is worth another try', async () => {
    await expect(ask({ auth: { kind: 'entra' } })).rejects.toMatchObject({
      code: 'ServerAuthFailed',
      retryable: true,
    });
  });

  test('a wrong password is refused, and neither it nor the right one is in the error', async () => {
    const error = await ask({}, { readSecretSetting: () => 'not-the-password' }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: 'ServerAuthFailed', retryable: false });
    expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(
      /not-the-password|the-password-of-cmk/,
    );
  });

  test('a role that may not connect lacks a right', async () => {
    await postgres.dba.query("CREATE ROLE stranger LOGIN PASSWORD 'x'");
    await expect(ask({ user: 'stranger' }, { readSecretSetting: () => 'x' })).rejects.toMatchObject({
      code: 'ServerRightsMissing',
      detail: { missingRights: [expect.stringContaining('GRANT CONNECT ON DATABASE "cmk_admin"')] },
    });
  });
});

describe('a host that somebody registered to be sent what is another server’s', () => {
  /** `R`, then what is asked for: 3 cleartext, 5 MD5 with a salt. */
  const askFor = (kind: 3 | 5) =>
    listen((socket) => {
      const salt = kind === 5 ? [1, 2, 3, 4] : [];
      const length = 8 + salt.length;
      socket.once('data', () => socket.write(Uint8Array.of(0x52, 0, 0, 0, length, 0, 0, 0, kind, ...salt)));
    });
  const hash = (kind: 3 | 5) => (kind === 3 ? APP_PASSWORD : 'md5');

  test.each([3, 5] as const)(
    'gets no password by asking for it another way than SCRAM (%i)',
    async (kind) => {
      const stranger = await askFor(kind);
      const asked = ask({ port: stranger.port, tls: 'disable' });
      await expect(asked).rejects.toMatchObject({
        code: 'ServerAuthFailed',
        message: expect.stringContaining('not by SCRAM-SHA-256'),
      });
      expect(stranger.received()).toContain('cmk_admin');
      expect(stranger.received()).not.toContain(hash(kind));
    },
  );

  test.each([3, 5] as const)(
    'is asked nothing where the setting names other hosts; those get it as they ask (%i)',
    async (kind) => {
      const stranger = await askFor(kind);
      const how = { port: stranger.port, tls: 'disable' } as const;
      const settings = { connectTimeoutMs: 300 };
      const elsewhere = { ...settings, readSecretHosts: () => 'orders.example, ost' };
      await expect(ask(how, elsewhere)).rejects.toMatchObject({
        code: 'ServerHostRefused',
        retryable: false,
      });
      expect(stranger.received()).toBe('');
      const here = { ...settings, readSecretHosts: () => 'orders.example, LOCALHOST' };
      await expect(ask(how, here)).rejects.toMatchObject({ code: 'ServerUnreachable' });
      expect(stranger.received()).toContain(hash(kind));
    },
  );

  test('a setting whose list of hosts is blank names none', async () => {
    expect(await ask({}, { readSecretHosts: () => ' , ' })).toMatchObject(answered);
  });

  test('the list is that of the setting itself, and takes what is under a domain', async () => {
    const asked: string[] = [];
    const readSecretHosts = (name: string) => {
      asked.push(name);
      return 'example';
    };
    const how = { host: 'db.example.', port: 1 };
    await expect(ask(how, { readSecretHosts })).rejects.toMatchObject({ code: 'ServerHostRefused' });
    await expect(ask({ ...how, host: 'db.example' }, { readSecretHosts })).rejects.toMatchObject({
      code: 'ServerUnreachable',
    });
    expect(asked).toEqual(['CMK_PASSWORD', 'CMK_PASSWORD']);
  });

  test('can’t pass a login on to a server that could bind it to TLS: it is told that the app could too', async () => {
    const mechanisms = Buffer.from('SCRAM-SHA-256\0\0');
    const head = Buffer.from([0x52, 0, 0, 0, 8 + mechanisms.length, 0, 0, 0, 10]);
    const stranger = await listen((socket) =>
      socket.once('data', () => socket.write(Buffer.concat([head, mechanisms]))),
    );
    const asked = ask({ port: stranger.port, tls: 'disable' }, { connectTimeoutMs: 300 });
    await expect(asked).rejects.toMatchObject({ code: 'ServerUnreachable' });
    // The flag of RFC 5802, section 6: a server that does bind refuses what was made for one that doesn't.
    expect(stranger.received()).toContain('y,,n=');
  });

  test('gets no token, whatever it can prove; none is even fetched', async () => {
    let fetched = 0;
    const settings = {
      tokenSuffixes: ['postgres.database.azure.com'],
      getEntraToken: async () => {
        fetched += 1;
        return 'eyJ';
      },
    };
    const stranger = await askFor(3);
    const how = { port: stranger.port, tls: 'disable', auth: { kind: 'entra' } } as const;
    for (const host of [
      'localhost',
      'evilpostgres.database.azure.com',
      'postgres.database.azure.com.evil.example',
    ])
      await expect(ask({ ...how, host }, settings)).rejects.toMatchObject({ code: 'ServerHostRefused' });
    expect({ fetched, received: stranger.received() }).toEqual({ fetched: 0, received: '' });
  });
});

describe('a server that takes no session', () => {
  const unreachable = { code: 'ServerUnreachable', retryable: true };

  test('where nobody listens, and where the host has no address', async () => {
    await expect(ask({ port: 1 })).rejects.toMatchObject(unreachable);
    await expect(ask({ host: 'no-such-host.invalid' })).rejects.toMatchObject(unreachable);
  });

  test('where it accepts and never answers, or hangs up', async () => {
    const silent = await listen(() => {});
    await expect(ask({ port: silent.port }, { connectTimeoutMs: 100 })).rejects.toMatchObject(unreachable);
    const rude = await listen((socket) => socket.destroy());
    await expect(ask({ port: rude.port })).rejects.toMatchObject(unreachable);
  });

  test('where the maintenance database is missing, or closed itself: the remedy says so', async () => {
    await expect(ask({ maintenanceDatabase: 'nowhere' })).rejects.toMatchObject({
      ...unreachable,
      remedy: expect.stringContaining('Create the maintenance database "nowhere"'),
    });
    await server.allowConnections('postgres', false);
    await expect(ask({ maintenanceDatabase: 'postgres' })).rejects.toMatchObject({
      ...unreachable,
      remedy: expect.stringContaining('ALLOW_CONNECTIONS true'),
    });
  });

  test('where all connections are taken', async () => {
    await postgres.dba.query('ALTER ROLE cmk CONNECTION LIMIT 0');
    const asked = ask({});
    await expect(asked).rejects.toMatchObject({
      ...unreachable,
      remedy: expect.stringContaining('reserved'),
    });
    await postgres.dba.query('ALTER ROLE cmk CONNECTION LIMIT -1');
  });
});

test('a superuser as the app ends the sessions of superusers too', async () => {
  const session = await server.openSession('postgres', { superuser: true });
  const port = postgres.makeAccess({ readSecretSetting: () => postgres.cluster.password });
  const order = { serverId: 'orders-db', epoch: 1, policy: 'terminate', endSessions: true } as const;
  const outcome = await port.revoke({ ...access, user: postgres.cluster.superuser }, order);
  expect(outcome).toMatchObject({ kind: 'applied', sessionsEnded: 1 });
  expect(await session.isOpen()).toBe(false);
});

const listeners: { readonly server: Server; readonly sockets: Set<Socket> }[] = [];

afterEach(() => {
  for (const { server: listener, sockets } of listeners.splice(0)) {
    for (const socket of sockets) socket.destroy();
    listener.close();
  }
});

async function listen(onSocket: (socket: Socket) => void) {
  let received = '';
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => {
      received += data.toString('latin1');
    });
    onSocket(socket);
  });
  listeners.push({ server: listener, sockets });
  await new Promise<void>((resolve) => listener.listen(0, 'localhost', resolve));
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { port, received: () => received };
}
