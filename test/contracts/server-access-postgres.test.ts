import { afterAll, beforeAll } from 'vitest';
import { type PostgresUnderTest, startPostgresUnderTest } from '../fixtures/postgres-under-test.ts';
import { describeServerAccess } from './server-access.ts';

let postgres: PostgresUnderTest;

beforeAll(async () => {
  postgres = await startPostgresUnderTest();
});

afterAll(() => postgres?.stop());

describeServerAccess('server access on PostgreSQL', (databases, excludeDatabases) =>
  postgres.start(databases, excludeDatabases),
);
