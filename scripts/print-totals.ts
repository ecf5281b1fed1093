// The last line of a run: how many tests passed and failed, from vitest's JSON report. Fails where none ran.
import { readFileSync } from 'node:fs';

const report: unknown = JSON.parse(readFileSync(process.argv[2] ?? 'reports/tests.json', 'utf8'));
const number = (name: string): number => {
  const value = typeof report === 'object' && report !== null ? Reflect.get(report, name) : undefined;
  return typeof value === 'number' ? value : 0;
};
const passed = number('numPassedTests');
const failed = number('numFailedTests');
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = passed === 0 || failed > 0 ? 1 : 0;
