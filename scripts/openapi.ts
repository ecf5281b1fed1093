// Writes docs/openapi.json from the routes and schemas of the API; a test compares the two.
import { writeFileSync } from 'node:fs';
import { makeOpenApi } from '../functions/http/openapi.ts';
import { VERSION } from '../shared/version.ts';

writeFileSync('docs/openapi.json', `${JSON.stringify(makeOpenApi(VERSION), null, 2)}\n`);
