// What the app says of itself to anybody, and whether its clock is ours.
import { Health } from '../../shared/api/health.ts';
import { parseAnswer } from '../answers.ts';
import { type ApiAnswer, type ApiClient, ApiProblem } from '../client.ts';
import { type Finding, finding, type Severity } from './finding.ts';

const SEVERITIES: Readonly<Record<Health['status'], Severity>> = {
  ok: 'ok',
  degraded: 'warning',
  failing: 'error',
};

/** Tokens are accepted with a skew of 60 s; leases are counted in seconds. */
const SKEW_WARNING_MS = 10_000;
const SKEW_ERROR_MS = 60_000;

/** @throws CliError AppUnreachable */
export async function checkApp(api: ApiClient, now: () => Date): Promise<readonly Finding[]> {
  const sentAt = now().getTime();
  const answer = await askHealth(api);
  const halfway = (sentAt + now().getTime()) / 2;
  const health = parseAnswer(Health, answer);
  return [
    finding('app', 'ok', `version ${health.version} answers`),
    ...health.checks.map(({ name, status, detail, remedy }) =>
      finding(`health: ${name}`, SEVERITIES[status], detail, remedy),
    ),
    checkClock('clock here', answer.headers.get('date'), halfway),
    checkClock('clock of the app', answer.headers.get('date'), new Date(health.now).getTime()),
  ];
}

/** An app that is failing may say so by its status too. */
async function askHealth(api: ApiClient): Promise<Pick<ApiAnswer, 'body' | 'headers'>> {
  try {
    return await api.request('GET', '/api/health', { anonymous: true, repeatable: false });
  } catch (error) {
    const body = error instanceof ApiProblem ? error.answer?.body : undefined;
    if (error instanceof ApiProblem && error.answer !== null && Health.safeParse(body).success) {
      return error.answer;
    }
    throw error;
  }
}

/** The Date header is of whole seconds. */
function checkClock(check: string, header: string | null, at: number): Finding {
  const date = new Date(header ?? '').getTime();
  if (Number.isNaN(date))
    return finding(check, 'unseen', 'the answer has no Date', 'Compare the clocks by hand.');
  const off = Math.abs(at - date - 500);
  const severity = off > SKEW_ERROR_MS ? 'error' : off > SKEW_WARNING_MS ? 'warning' : 'ok';
  const found =
    severity === 'ok' ? "agrees with the answer's Date" : `${Math.round(off / 1000)} s off the answer's Date`;
  return finding(
    check,
    severity,
    found,
    severity === 'ok' ? null : 'Set the clock by NTP: tokens and leases are refused by a wrong one.',
  );
}
