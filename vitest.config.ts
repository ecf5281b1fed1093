import { defineConfig } from 'vitest/config';

// Every test runs on real parts where there is one; the slow ones (PostgreSQL, Azurite, the host) share this budget.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    coverage: {
      provider: 'v8',
      include: ['shared/**/*.ts', 'functions/**/*.ts', 'cli/**/*.ts'],
      reporter: ['text-summary', 'html', 'json-summary'],
      thresholds: {
        'shared/domain/**': { statements: 100, branches: 100, functions: 100, lines: 100 },
        'shared/operations/**': { statements: 100, branches: 100, functions: 100, lines: 100 },
      },
    },
  },
});
