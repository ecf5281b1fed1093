// The package that is deployed: the functions and all they need in a few files, beside host.json and a manifest. What is
// loaded on the first request only (the OpenAPI document) stays in a file of its own.
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const OUT = 'dist/bundle';

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
await build({
  entryPoints: ['functions/index.ts'],
  outdir: OUT,
  bundle: true,
  splitting: true,
  platform: 'node',
  target: 'node22',
  format: 'esm',
  sourcemap: true,
  minifySyntax: true,
  // The Functions host supplies the first; the second is a native module that pg does without.
  external: ['@azure/functions-core', 'pg-native'],
  // Packages that are CommonJS ask for `require` when they are loaded.
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
copyFileSync('host.json', `${OUT}/host.json`);
writeFileSync(`${OUT}/package.json`, `${JSON.stringify({ type: 'module', main: 'index.js' }, null, 2)}\n`);
