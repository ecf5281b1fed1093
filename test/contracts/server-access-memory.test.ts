import { makeMemoryServerAccess } from '../fakes/server-access.ts';
import { describeServerAccess } from './server-access.ts';

describeServerAccess('server access in memory', (databases, excludeDatabases = []) => {
  const fake = makeMemoryServerAccess();
  const server = fake.addServer({ databases, excludeDatabases });
  return {
    ...server,
    port: fake.port,
    freezeWorker: fake.freezeWorker,
    startReplica: () => server.addReplica(),
    unreachable: { ...server.access, port: 1 },
  };
});
