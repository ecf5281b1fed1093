// Server access in memory that behaves like PostgreSQL's: flags, sessions, the record, replicas. It passes the same
// contract as the real adapter (test/contracts/server-access.ts). One fake holds any number of servers, by host and port.
import { CmkError } from '../../shared/domain/errors.ts';
import type { PostgresAccess } from '../../shared/domain/server-spec.ts';
import type {
  AccessInspection,
  RestoreOrder,
  RestoreOutcome,
  RevokeOrder,
  RevokeOutcome,
  ServerAccess,
} from '../../shared/ports/server-access.ts';

export interface MemoryServerAccess {
  readonly port: ServerAccess;
  /** Every order that reached a server, in the order of arrival. */
  readonly orders: readonly MemoryOrder[];
  /** A running server; by default with the databases postgres, template1 and app. */
  addServer(options?: MemoryServerOptions): MemoryServer;
  /** A worker that stops before it reaches its server, until it is thawed. */
  freezeWorker(): FrozenWorker;
}

export type MemoryOrder =
  | ({ readonly kind: 'revoke'; readonly host: string } & RevokeOrder)
  | ({ readonly kind: 'restore'; readonly host: string } & RestoreOrder);

export interface MemoryServerOptions {
  readonly host?: string;
  readonly databases?: readonly string[];
  readonly excludeDatabases?: readonly string[];
}

export interface FrozenWorker {
  readonly port: ServerAccess;
  /** Resolves when the worker has come to where it stops. */
  readonly frozen: Promise<void>;
  thaw(): void;
}

export interface MemorySession {
  readonly isOpen: () => boolean;
  readonly close: () => void;
}

export interface MemoryServer {
  readonly access: PostgresAccess;
  /** `owned: false`: the app may not set its flag. */
  createDatabase(name: string, options?: { readonly owned?: boolean }): void;
  dropDatabase(name: string): void;
  renameDatabase(name: string, to: string): void;
  /** As a DBA does it. */
  allowConnections(name: string, allowed: boolean): void;
  takesConnections(name: string): boolean;
  /** Throws where the database takes no connections. With `reconnects` it comes back whenever it is ended. */
  openSession(
    database: string,
    options?: { readonly superuser?: boolean; readonly reconnects?: boolean },
  ): MemorySession;
  setReachable(reachable: boolean): void;
  /** The next order or question fails with `error`, before anything is changed. */
  failNext(error: CmkError): void;
  /** Whether the app may end the sessions of others (pg_signal_backend). */
  allowSignals(allowed: boolean): void;
  /** A further entry of `missingRights`. */
  lackRight(sentence: string): void;
  /** Whether anyone may connect to the maintenance database. */
  openMaintenance(open: boolean): void;
  setHidden(hidden: { readonly preparedTransactions?: number; readonly replicationSlots?: number }): void;
  addReplica(host?: string): MemoryReplica;
}

export interface MemoryReplica extends MemoryServer {
  /** From now on nothing arrives from the primary. */
  holdBack(): void;
  catchUp(): void;
  promote(): void;
}

interface Database {
  readonly oid: number;
  name: string;
  open: boolean;
  readonly owned: boolean;
}

/** What travels by WAL. */
interface State {
  databases: Database[];
  record: { readonly epoch: number; readonly desired: 'granted' | 'revoked' } | undefined;
  closed: Set<number>;
}

interface Session {
  readonly oid: number;
  readonly superuser: boolean;
  readonly reconnects: boolean;
  open: boolean;
}

interface Server {
  readonly access: PostgresAccess;
  state: () => State;
  role: 'primary' | 'replica';
  sessions: Session[];
  reachable: boolean;
  failure: CmkError | undefined;
  maySignal: boolean;
  lacking: string[];
  maintenanceOpen: boolean;
  preparedTransactions: number;
  replicationSlots: number;
}

export function makeMemoryServerAccess(): MemoryServerAccess {
  const servers = new Map<string, Server>();
  const orders: MemoryOrder[] = [];
  let nextHost = 1;
  let nextOid = 16_384;

  const reach = (access: PostgresAccess): Server => {
    const server = servers.get(`${access.host}:${access.port}`);
    if (server?.reachable !== true) {
      throw new CmkError('ServerUnreachable', `${access.host}:${access.port}: connect ECONNREFUSED`, {
        remedy: 'Check that the server runs.',
        retryable: true,
      });
    }
    const { failure } = server;
    server.failure = undefined;
    if (failure !== undefined) throw failure;
    return server;
  };

  const port: ServerAccess = {
    revoke: async (access, order) => {
      const server = reach(access);
      orders.push({ kind: 'revoke', host: access.host, ...order });
      return server.role === 'primary'
        ? revoke(server, access, order)
        : revokeOnReplica(server, access, order);
    },
    restore: async (access, order) => {
      const server = reach(access);
      orders.push({ kind: 'restore', host: access.host, ...order });
      return server.role === 'primary' ? restore(server, order) : restoreOnReplica(server);
    },
    inspect: async (access) => inspect(reach(access), access),
  };

  const add = (access: PostgresAccess, state: () => State, role: Server['role']): [Server, MemoryServer] => {
    const server: Server = {
      access,
      state,
      role,
      sessions: [],
      reachable: true,
      failure: undefined,
      maySignal: true,
      lacking: [],
      maintenanceOpen: false,
      preparedTransactions: 0,
      replicationSlots: 0,
    };
    servers.set(`${access.host}:${access.port}`, server);
    return [server, toHandle(server, () => nextOid++, addReplica)];
  };

  const addReplica = (primary: Server, host = `pg-${nextHost++}.test`): MemoryReplica => {
    let snapshot: State | undefined;
    const [server, handle] = add({ ...primary.access, host }, () => snapshot ?? primary.state(), 'replica');
    return {
      ...handle,
      holdBack: () => {
        snapshot = structuredClone(server.state());
      },
      catchUp: () => {
        snapshot = undefined;
      },
      promote: () => {
        const state = structuredClone(server.state());
        server.state = () => state;
        server.role = 'primary';
      },
    };
  };

  return {
    port,
    orders,
    addServer: (options = {}) => {
      const access: PostgresAccess = {
        kind: 'postgres',
        host: options.host ?? `pg-${nextHost++}.test`,
        port: 5432,
        maintenanceDatabase: 'cmk_admin',
        excludeDatabases: options.excludeDatabases ?? [],
        user: 'cmk',
        tls: 'verify-full',
        auth: { kind: 'entra' },
      };
      const state: State = { databases: [], record: undefined, closed: new Set() };
      const [, handle] = add(access, () => state, 'primary');
      const names = options.databases ?? ['app'];
      for (const name of ['cmk_admin', 'postgres', 'template1', ...names]) handle.createDatabase(name);
      return handle;
    },
    freezeWorker: () => {
      const arrival = Promise.withResolvers<void>();
      const gate = Promise.withResolvers<void>();
      const stop = async () => {
        arrival.resolve();
        await gate.promise;
      };
      return {
        port: {
          revoke: (access, order) => stop().then(() => port.revoke(access, order)),
          restore: (access, order) => stop().then(() => port.restore(access, order)),
          inspect: (access) => stop().then(() => port.inspect(access)),
        },
        frozen: arrival.promise,
        thaw: () => gate.resolve(),
      };
    },
  };
}

function toHandle(
  server: Server,
  newOid: () => number,
  addReplica: (primary: Server, host?: string) => MemoryReplica,
): MemoryServer {
  const find = (name: string): Database => {
    const found = server.state().databases.find((database) => database.name === name);
    if (found === undefined) throw new Error(`database "${name}" does not exist`);
    return found;
  };
  return {
    access: server.access,
    createDatabase: (name, options = {}) => {
      server.state().databases.push({ oid: newOid(), name, open: true, owned: options.owned ?? true });
    },
    dropDatabase: (name) => {
      const { oid } = find(name);
      const state = server.state();
      state.databases = state.databases.filter((database) => database.oid !== oid);
    },
    renameDatabase: (name, to) => {
      find(name).name = to;
    },
    allowConnections: (name, allowed) => {
      find(name).open = allowed;
    },
    takesConnections: (name) => server.reachable && find(name).open,
    openSession: (name, options = {}) => {
      const { oid, open } = find(name);
      if (!open) throw new Error(`database "${name}" is not currently accepting connections`);
      const session = { oid, superuser: false, reconnects: false, ...options, open: true };
      server.sessions.push(session);
      return {
        isOpen: () => session.open,
        close: () => {
          session.open = false;
          server.sessions = server.sessions.filter((other) => other !== session);
        },
      };
    },
    setReachable: (reachable) => {
      server.reachable = reachable;
    },
    failNext: (error) => {
      server.failure = error;
    },
    allowSignals: (allowed) => {
      server.maySignal = allowed;
    },
    lackRight: (sentence) => {
      server.lacking.push(sentence);
    },
    openMaintenance: (open) => {
      server.maintenanceOpen = open;
    },
    setHidden: (hidden) => {
      server.preparedTransactions = hidden.preparedTransactions ?? server.preparedTransactions;
      server.replicationSlots = hidden.replicationSlots ?? server.replicationSlots;
    },
    addReplica: (host) => addReplica(server, host),
  };
}

function revoke(server: Server, access: PostgresAccess, order: RevokeOrder): RevokeOutcome {
  const state = server.state();
  const overtaken = take(state, order.epoch, 'revoked');
  if (overtaken !== undefined) return overtaken;
  for (const database of listOpen(state, access).filter(({ owned }) => owned)) {
    state.closed.add(database.oid);
    database.open = false;
  }
  const sessionsEnded = endSessions(server, access, order);
  const unowned = listOpen(state, access);
  if (unowned.length > 0) throw rightsMissing(unowned.map(describeUnowned));
  return conclude(server, access, order, sessionsEnded);
}

function revokeOnReplica(server: Server, access: PostgresAccess, order: RevokeOrder): RevokeOutcome {
  const state = server.state();
  if (state.record?.desired !== 'revoked' || listOpen(state, access).length > 0) {
    const sessionsOpen = listSessions(server, access).length;
    return { kind: 'incomplete', reason: 'ReplicaLagging', sessionsEnded: 0, sessionsOpen };
  }
  return conclude(server, access, order, endSessions(server, access, order));
}

function conclude(
  server: Server,
  access: PostgresAccess,
  order: RevokeOrder,
  sessionsEnded: number,
): RevokeOutcome {
  const sessionsOpen = listSessions(server, access).length;
  if (endsSessions(order) && sessionsOpen > 0) {
    if (!server.maySignal) throw rightsMissing([SIGNAL_RIGHT]);
    return { kind: 'incomplete', reason: 'SessionNotEndable', sessionsEnded, sessionsOpen };
  }
  const closed = listClosed(server.state()).filter(({ open }) => !open);
  return { kind: 'applied', closed: closed.map(toName), sessionsEnded, sessionsOpen, role: server.role };
}

function restore(server: Server, order: RestoreOrder): RestoreOutcome {
  const state = server.state();
  const overtaken = take(state, order.epoch, 'granted');
  if (overtaken !== undefined) return overtaken;
  const listed = listClosed(state);
  const unowned = listed.filter(({ owned }) => !owned);
  for (const database of listed.filter(({ owned }) => owned)) database.open = true;
  state.closed = new Set(unowned.map(({ oid }) => oid));
  if (unowned.length > 0) throw rightsMissing(unowned.map(describeUnowned));
  return { kind: 'applied', reopened: listed.map(toName), role: 'primary' };
}

function restoreOnReplica(server: Server): RestoreOutcome {
  const { record, closed } = server.state();
  const arrived = record === undefined || (record.desired === 'granted' && closed.size === 0);
  return arrived
    ? { kind: 'applied', reopened: [], role: 'replica' }
    : { kind: 'incomplete', reason: 'ReplicaLagging' };
}

function inspect(server: Server, access: PostgresAccess): AccessInspection {
  const state = server.state();
  const open = listOpen(state, access);
  return {
    role: server.role,
    epoch: state.record?.epoch ?? 0,
    desired: state.record?.desired ?? 'granted',
    openDatabases: open.map(toName),
    closedByUs: listClosed(state).map(toName),
    excludedDatabases: access.excludeDatabases,
    sessionsOpen: listSessions(server, access).length,
    preparedTransactions: server.preparedTransactions,
    replicationSlots: server.replicationSlots,
    publicConnect: server.maintenanceOpen ? PUBLIC_CONNECT : null,
    missingRights: [
      ...(server.maintenanceOpen ? [PUBLIC_CONNECT] : []),
      ...server.lacking,
      ...(server.maySignal ? [] : [SIGNAL_RIGHT]),
      ...open.filter(({ owned }) => !owned).map(describeUnowned),
    ],
  };
}

/** Records the order, or says what overtakes it. */
function take(state: State, epoch: number, desired: 'granted' | 'revoked') {
  const { record } = state;
  if (
    record !== undefined &&
    (record.epoch > epoch || (record.epoch === epoch && record.desired !== desired))
  ) {
    return { kind: 'overtaken', epoch: record.epoch } as const;
  }
  state.record = { epoch, desired };
  return undefined;
}

function endSessions(server: Server, access: PostgresAccess, order: RevokeOrder): number {
  if (!endsSessions(order) || !server.maySignal) return 0;
  const ended = listSessions(server, access).filter(({ superuser }) => !superuser);
  for (const session of ended) {
    const database = server.state().databases.find(({ oid }) => oid === session.oid);
    session.open = session.reconnects && database?.open === true;
  }
  server.sessions = server.sessions.filter(({ open, reconnects }) => open || reconnects);
  return ended.length;
}

function endsSessions(order: RevokeOrder): boolean {
  return order.policy === 'terminate' || (order.policy === 'drain' && order.endSessions);
}

function isOutside(name: string, access: PostgresAccess): boolean {
  return name === access.maintenanceDatabase || access.excludeDatabases.includes(name);
}

function listOpen(state: State, access: PostgresAccess): readonly Database[] {
  return state.databases.filter(({ open, name }) => open && !isOutside(name, access));
}

function listClosed(state: State): readonly Database[] {
  return state.databases.filter(({ oid }) => state.closed.has(oid));
}

function listSessions(server: Server, access: PostgresAccess): readonly Session[] {
  const outside = server.state().databases.filter(({ name }) => isOutside(name, access));
  return server.sessions.filter(({ open, oid }) => open && !outside.some((database) => database.oid === oid));
}

const PUBLIC_CONNECT =
  'anyone may connect to the maintenance database: REVOKE CONNECT ON DATABASE "cmk_admin" FROM PUBLIC';
const SIGNAL_RIGHT = '"cmk" may not end sessions: GRANT pg_signal_backend TO "cmk"';

function describeUnowned({ name }: Database): string {
  return `"cmk" may not close or reopen "${name}": ALTER DATABASE "${name}" OWNER TO "cmk"`;
}

function rightsMissing(missingRights: readonly string[]): CmkError {
  return new CmkError('ServerRightsMissing', `The app's role lacks rights: ${missingRights.join('; ')}`, {
    remedy: 'Grant what is listed.',
    detail: { missingRights },
  });
}

function toName({ name }: Database): string {
  return name;
}
