// The composition root: the only reader of process.env. A fault in a setting throws here, and the host doesn't start.
import { app } from '@azure/functions';
import { readConfig } from '../shared/config.ts';
import { buildOperations } from './operations.ts';
import { registerApp } from './register-app.ts';

const config = readConfig(process.env);
const operations = buildOperations(config, (name) => process.env[name]);
app.hook.appStart(async () => {
  await operations.prepareStorage();
});
registerApp(app, config, operations);
