// The composition root: the only reader of process.env. A fault in a setting throws here, and the host doesn't start.
import { app } from '@azure/functions';
import { readConfig } from '../shared/config.ts';
import { buildOperations } from './operations.ts';
import { registerApp } from './register-app.ts';

const SECRET = 'PGCMK_SECRET_';

const config = readConfig(process.env);
// Of the settings only those that are named as servers' secrets go out to servers.
const operations = buildOperations(config, (name) =>
  name.startsWith(SECRET) ? process.env[name] : undefined,
);
app.hook.appStart(async () => {
  await operations.prepareStorage();
});
registerApp(app, config, operations);
