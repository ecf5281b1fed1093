// Whether azd down may begin. It deletes every resource group that the newest deployment reached into, not only the
// app's: with a vault among the parameters, the group of that vault, and the customer's vault with it.
import { z } from 'zod';

/** A vault or a secret of the parameters; the rest of it doesn't matter here. */
const places = z.array(z.object({ resourceGroup: z.string().min(1) }));

const PARAMETERS = ['PGCMK_DEPLOY_VAULTS', 'PGCMK_DEPLOY_SECRETS'] as const;
/** What the newest `azd provision` that succeeded put out. */
const DEPLOYED = 'PGCMK_DEPLOY_OTHER_GROUPS';

/** Why not; null: it may. What can't be read is refused as well. */
export function refuseDown(environment: Readonly<Record<string, string | undefined>>): string | null {
  const groups = new Set<string>();
  for (const name of PARAMETERS) {
    const parsed = parse(environment[name]);
    if (!parsed.success) return `${name} can't be read, so nobody knows what azd down would delete.`;
    for (const { resourceGroup } of parsed.data) groups.add(resourceGroup);
  }
  for (const group of (environment[DEPLOYED] ?? '').split(',')) if (group !== '') groups.add(group);
  if (groups.size === 0) return null;
  return [
    `azd down would delete these resource groups whole, with the vaults in them: ${[...groups].sort().join(', ')}.`,
    'Take them out of the deployment first:',
    ...PARAMETERS.map((name) => `  azd env set ${name} '[]'`),
    '  azd provision',
    'Then look at what azd down lists before you confirm it. docs/deploying.md says what stays.',
  ].join('\n');
}

function parse(text: string | undefined) {
  if (text === undefined || text.trim() === '') return places.safeParse([]);
  try {
    return places.safeParse(JSON.parse(text));
  } catch {
    return places.safeParse(text);
  }
}
