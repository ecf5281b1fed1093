// The package that is deployed (docs/decisions/0016-bundle.md): the functions and all they need in a few files, beside
// host.json and a manifest. What is loaded on the first request only (the OpenAPI document) stays in a file of its own.
//   node scripts/bundle.ts [DIRECTORY]   dist/bundle, where none is given
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

const [out = 'dist/bundle'] = process.argv.slice(2);
/** The Functions host supplies the first; the second is a native module that pg does without. */
const FOREIGN = ['@azure/functions-core', 'pg-native'];

/**
 * Node's own modules are required, never imported: for an import Node reads every export, and reading `WebSocket` of
 * `node:http` loads all of its fetch, which takes longer than the whole of http.
 */
const requireBuiltins: Plugin = {
  name: 'require-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?[a-z_]+(\/[a-z_]+)?$/ }, ({ path, kind }) => {
      const name = path.replace(/^node:/, '');
      if (kind !== 'import-statement' || !builtinModules.includes(name)) return undefined;
      return { path: `node:${name}`, namespace: 'builtin', sideEffects: false };
    });
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require('${path}');`,
    }));
  },
};

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const { metafile } = await build({
  entryPoints: ['functions/index.ts'],
  outdir: out,
  bundle: true,
  splitting: true,
  platform: 'node',
  target: 'node22',
  format: 'esm',
  sourcemap: true,
  minifySyntax: true,
  metafile: true,
  external: FOREIGN,
  plugins: [requireBuiltins],
  // Packages that are CommonJS ask for `require` when they are loaded.
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
  },
  logLevel: 'warning',
});

const isBuiltin = (path: string) => builtinModules.includes(path.replace(/^node:/, ''));
const missing = Object.values(metafile.outputs)
  .flatMap(({ imports }) => imports)
  .filter(({ external, path }) => external === true && !isBuiltin(path) && !FOREIGN.includes(path));
if (missing.length > 0) throw new Error(`not in the bundle: ${missing.map(({ path }) => path).join(', ')}`);

copyFileSync('host.json', join(out, 'host.json'));
writeFileSync(
  join(out, 'package.json'),
  `${JSON.stringify({ type: 'module', main: 'index.js' }, null, 2)}\n`,
);
// It names no node_modules: azd would take that for the wish that Azure build the package (remoteBuild).
writeFileSync(join(out, '.funcignore'), '/.funcignore\n/local.settings*.json\n');
