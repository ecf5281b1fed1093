// The whole command line, from its arguments to its exit code; main.ts gives it the real outside.
import { Command, CommanderError, Option } from 'commander';
import { type CliError, cliError } from './cli-error.ts';
import { registerAudit } from './commands/audit.ts';
import { registerBackup } from './commands/backup.ts';
import { registerBreaker } from './commands/breaker.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerDrill } from './commands/drill.ts';
import { registerImpact } from './commands/impact.ts';
import { registerKeys } from './commands/keys.ts';
import { registerRetire } from './commands/retire.ts';
import { registerRotate } from './commands/rotate.ts';
import { registerServers } from './commands/servers.ts';
import { registerVerify } from './commands/verify.ts';
import { type CliContext, type GlobalOptions, makeContext } from './context.ts';
import { registerDek } from './dek.ts';
import { EXIT } from './exit-codes.ts';
import type { CliIo } from './io.ts';
import { printError, toCliError } from './print-error.ts';

const AFTER_HELP = `
Configuration: PG_CMK_URL, and one of PG_CMK_SCOPE (your Entra identity), PG_CMK_TOKEN_FILE, PG_CMK_TOKEN.
Exit codes: 0 done, 1 unexpected, 2 usage, 3 refused, 4 not available, 5 a check failed, 6 lease lost.`;

/** Runs one command line, without the name of the program. Never throws. */
export async function runCli(argv: readonly string[], io: CliIo, version = '0.0.0'): Promise<number> {
  const program = makeProgram(io, version);
  const context = makeContext(io, () => program.opts<GlobalOptions>());
  registerCommands(program, context);
  try {
    // Commands have a --version of their own: that of a key. Alone it is that of the program.
    const isVersion = argv.length === 1 && argv[0] === '--version';
    await program.parseAsync(isVersion ? ['-V'] : [...argv], { from: 'user' });
    return context.findings.exitCode;
  } catch (error) {
    // Help and version were printed, and thrown only to end.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    // No command was given, and the help said which there are.
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.usage;
    const end = error instanceof CommanderError ? toUsageError(error, program, argv) : toCliError(error);
    printError(io, findOutput(argv), end);
    return end.exitCode;
  }
}

function makeProgram(io: CliIo, version: string): Command {
  const isColoured = (stream: CliIo['stdout']) => stream.isTTY === true;
  return new Command('pg-cmk')
    .description('Customer-managed keys for PostgreSQL fleets.')
    .version(version, '-V', 'the version of pg-cmk; also --version alone')
    .option('--url <url>', 'of the app (PG_CMK_URL)')
    .addOption(
      new Option('-o, --output <format>', 'for people or for machines')
        .choices(['table', 'json'])
        .default('table'),
    )
    .option('--yes', 'confirm what takes access away or deletes, without being asked')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', AFTER_HELP)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      // Errors are printed as all the others are; what is left is help that was asked for in a wrong way.
      writeErr: (text) => void io.stderr.write(text),
      outputError: () => {},
      getOutHasColors: () => isColoured(io.stdout),
      getErrHasColors: () => isColoured(io.stderr),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
    });
}

function registerCommands(program: Command, context: CliContext): void {
  registerServers(program, context);
  registerKeys(program, context);
  registerRotate(program, context);
  registerImpact(program, context);
  registerRetire(program, context);
  registerDrill(program, context);
  registerAudit(program, context);
  registerVerify(program, context);
  registerBackup(program, context);
  registerDek(program, context);
  registerBreaker(program, context);
  registerDoctor(program, context);
}

function toUsageError(error: CommanderError, program: Command, argv: readonly string[]): CliError {
  const command = findCommand(program, argv);
  const path = toPath(command);
  // A group has a default command, and commander takes a name that it doesn't know for an argument of that.
  const stranger =
    error.code === 'commander.excessArguments'
      ? command.commands.flatMap(({ args }) => args).at(0)
      : undefined;
  const what =
    stranger === undefined
      ? error.message.replace(/^error: /, '').replace(/\.$/, '')
      : `unknown command '${stranger}' of ${path}`;
  return cliError('UsageWrong', what, `See ${path} --help.`, error);
}

/** The command that was meant, as far as its names are known. */
function findCommand(program: Command, argv: readonly string[]): Command {
  let command = program;
  for (const [index, argument] of argv.entries()) {
    const isValue = ['-o', '--output', '--url'].includes(argv[index - 1] ?? '');
    if (argument.startsWith('-') || isValue) continue;
    const next = command.commands.find((one) => one.name() === argument);
    if (next === undefined) return command;
    command = next;
  }
  return command;
}

const toPath = (command: Command): string =>
  command.parent === null ? command.name() : `${toPath(command.parent)} ${command.name()}`;

/** What commander stopped at may come before the option that says how to print it. */
function findOutput(argv: readonly string[]): GlobalOptions['output'] {
  const isJson = argv.some(
    (argument, index) =>
      ['-ojson', '-o=json', '--output=json'].includes(argument) ||
      (argument === 'json' && ['-o', '--output'].includes(argv[index - 1] ?? '')),
  );
  return isJson ? 'json' : 'table';
}
