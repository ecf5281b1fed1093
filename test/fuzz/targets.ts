// Every parser at the boundary.
import type { Target } from './target.ts';
import { cliTargets } from './targets/cli.ts';
import { eventTargets } from './targets/events.ts';
import { httpTargets } from './targets/http.ts';
import { rowTargets } from './targets/rows.ts';
import { textTargets } from './targets/texts.ts';

export const targets: readonly Target[] = [
  ...eventTargets,
  ...rowTargets,
  ...httpTargets,
  ...textTargets,
  ...cliTargets,
];
