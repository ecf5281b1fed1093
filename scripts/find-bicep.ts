// Where the Bicep compiler is: on PATH, or where `dotnet restore infra/tools` puts it. The same version on every machine.
import { accessSync, chmodSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const PACKAGE = 'Azure.Bicep.CommandLine.linux-x64';

/** The path of the compiler; null: it isn't on this machine. The restored one goes first: its version is the project's. */
export function findBicep(path = process.env['PATH'] ?? ''): string | null {
  const restored = findRestored();
  if (restored !== null) return restored;
  return (
    path
      .split(delimiter)
      .filter((folder) => folder !== '')
      .map((folder) => join(folder, process.platform === 'win32' ? 'bicep.exe' : 'bicep'))
      .find(isExecutable) ?? null
  );
}

function findRestored(): string | null {
  const project = readFileSync(join(root, 'infra/tools/bicep.csproj'), 'utf8');
  const [, version = ''] = new RegExp(`${PACKAGE}" Version="\\[([\\d.]+)\\]"`).exec(project) ?? [];
  const file = join(root, '.tools/packages', PACKAGE.toLowerCase(), version, 'tools/bicep');
  if (!existsSync(file)) return null;
  // A package holds no mode bits that everybody may rely on.
  if (!isExecutable(file)) chmodSync(file, 0o755);
  return file;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
