// A terminal session that is written down as it goes: what was typed, and what was printed.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Who types: each with a token of their own. */
export interface Person {
  readonly name: string;
  readonly token: string;
}

export interface Run {
  readonly stdout: string;
  readonly stderr: string;
}

export interface Session {
  /** A part of the day. */
  chapter(title: string, text: string): void;
  /** Words between two commands. */
  say(text: string): void;
  /** Something that is not done with pg-cmk, such as in the vault or by a DBA; shown as a comment. */
  deed(what: string, act: () => Promise<unknown>): Promise<void>;
  /** Runs `pg-cmk` in a process of its own. @throws Error with what it printed if it ends with another code */
  pgcmk(who: Person, args: readonly string[], options?: RunOptions): Promise<Run>;
  /** What the session looked like, as Markdown. */
  markdown(): string;
}

export interface RunOptions {
  /** Expected; 0 unless given. */
  readonly code?: number;
  /** What is shown in place of the output, where that is a secret or too long. */
  readonly shown?: (run: Run) => string;
  /** What is shown behind the command, such as a pipe. */
  readonly pipe?: string;
}

const compiled = !import.meta.url.endsWith('.ts');
const cli = fileURLToPath(new URL(compiled ? '../../cli/main.js' : '../../cli/main.ts', import.meta.url));

/** @param url of the function app */
export function makeSession(url: string, directory: string, onProgress: (what: string) => void): Session {
  const lines: string[] = [];
  let open = false;
  const close = () => {
    if (open) lines.push('```', '');
    open = false;
  };
  const show = (text: string) => {
    if (!open) lines.push('```console');
    open = true;
    lines.push(
      ...text
        .replace(/\s+$/, '')
        .split('\n')
        .map((line) => line.trimEnd()),
    );
  };

  return {
    chapter: (title, text) => {
      close();
      lines.push(`## ${title}`, '', text, '');
      onProgress(title);
    },
    say: (text) => {
      close();
      lines.push(text, '');
    },
    deed: async (what, act) => {
      await act();
      show(`# ${what}`);
    },
    pgcmk: async (who, args, { code = 0, shown, pipe = '' } = {}) => {
      const run = await runCli(url, directory, who, args);
      const typed = `$ pg-cmk ${args.map(quote).join(' ')}${pipe}`;
      if (run.code !== code) {
        throw new Error(`${typed}\nended with ${run.code}, not ${code}:\n${run.stdout}${run.stderr}`);
      }
      show(`${typed}   # ${who.name}`);
      show(shown === undefined ? `${run.stdout}${run.stderr}` : shown(run));
      if (code !== 0) show(`# exit code ${code}`);
      return run;
    },
    markdown: () => {
      close();
      return `${lines.join('\n').trimEnd()}\n`;
    },
  };
}

const quote = (argument: string): string => (/^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument}'`);

/** Runs `pg-cmk` in a process of its own. */
export function runCli(
  url: string,
  directory: string,
  { token }: Person,
  args: readonly string[],
): Promise<Run & { readonly code: number }> {
  const env = { ...process.env, PG_CMK_URL: url, PG_CMK_TOKEN: token, NO_COLOR: '1', COLUMNS: '110' };
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [cli, ...args],
      { env, cwd: directory, timeout: 120_000 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.end();
  });
}
