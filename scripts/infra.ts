// npm run infra: compiles and lints every Bicep file. A warning fails it. Without the compiler it says that nothing was
// checked; with --required (.ci/run) that fails too.
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { findBicep } from './find-bicep.ts';

const SKIPPED =
  'npm run infra: SKIPPED, nothing was checked. The Bicep compiler is not on this machine: `dotnet restore infra/tools/bicep.csproj`, or put bicep on PATH.';

/** What the compiler has to say; it names file and line. Null: nothing. */
function complain(bicep: string, args: readonly string[]): string | null {
  const { status, stderr, error } = spawnSync(bicep, args, { encoding: 'utf8', maxBuffer: 64 << 20 });
  if (error !== undefined) return `${bicep} ${args.join(' ')}: ${error.message}`;
  const said = stderr.trim();
  if (said !== '') return said;
  return status === 0 ? null : `bicep ${args.join(' ')} ended with ${status}`;
}

function check(bicep: string): readonly string[] {
  const templates = globSync('infra/**/*.bicep').length;
  const parameters = globSync('infra/**/*.bicepparam').sort();
  if (templates === 0) return ['no Bicep file found: run it from the root of the repository'];
  // One run lints every file by itself; with its parameters a template is compiled together with its modules.
  const runs = [
    ['lint', '--pattern', 'infra/**/*.bicep'],
    ...parameters.map((file) => ['build-params', '--stdout', file]),
  ];
  const complaints = new Set(
    runs.flatMap((args) => (complain(bicep, args) ?? '').split('\n')).filter((line) => line !== ''),
  );
  if (complaints.size === 0)
    console.log(`npm run infra: ${templates} templates and ${parameters.length} parameter files compile`);
  return [...complaints];
}

const bicep = findBicep();
if (bicep === null) {
  console.error(SKIPPED);
  if (process.argv.includes('--required')) process.exitCode = 1;
} else {
  const complaints = check(bicep);
  for (const line of complaints) console.error(line);
  if (complaints.length > 0) process.exitCode = 1;
}
