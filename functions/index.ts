// The composition root: the only reader of process.env. A fault in a setting throws here, and the host doesn't start.
import { app } from '@azure/functions';
import { readConfig } from '../shared/config.ts';
import { buildOperations } from './operations.ts';
import { registerApp } from './register-app.ts';
import { makeTraceInvocation } from './trace-invocation.ts';

const SECRET = 'PGCMK_SECRET_';

const config = readConfig(process.env);
// Of the settings only those that are named as servers' secrets go out to servers.
const operations = buildOperations(config, (name) =>
  name.startsWith(SECRET) ? process.env[name] : undefined,
);
let stopTelemetry = async (): Promise<void> => undefined;
app.hook.appStart(async () => {
  const [stop] = await Promise.all([operations.startTelemetry(), operations.prepareStorage()]);
  stopTelemetry = stop;
});
app.hook.appTerminate(() => stopTelemetry());
app.hook.preInvocation(makeTraceInvocation(operations.telemetry));
registerApp(app, config, operations);
