// The tables of docs/limits.md, from the code's own functions and constants.
import {
  ceilingOf,
  costOf,
  type LimitClass,
  limitClassOf,
  PUBLISHED_LIMITS,
  type VaultLimits,
} from '../../shared/azure/vault/vault-limits.ts';
import { RANGE_SERVERS } from '../../shared/domain/message.ts';
import { PRICES, type Price, type PriceName } from './prices.ts';
import { type Fleet, monthly } from './quantities.ts';

/** The defaults of PGCMK_VAULT_SHARE and PGCMK_MAX_INSTANCES. */
const LIMITS: VaultLimits = { share: 0.5, maxInstances: 2 };
const SIZES = [10, 1_000, 100_000] as const;
const CLASSES = Object.keys(PUBLISHED_LIMITS).filter((name): name is LimitClass => name in PUBLISHED_LIMITS);

export const FLEETS: readonly Fleet[] = [
  { servers: 10, keys: 2, versions: 1, keyClass: 'RSA-3072' },
  { servers: 1_000, keys: 10, versions: 1, keyClass: 'RSA-3072' },
  { servers: 100_000, keys: 100, versions: 1, keyClass: 'RSA-3072' },
];

/** All instances together. */
const unwrapsPerSecond = (limitClass: LimitClass): number =>
  (ceilingOf(LIMITS) * LIMITS.maxInstances) / costOf(limitClass, LIMITS);

/** Seconds of a rotation of one key at what the vault gives; the app itself may be slower. */
export const rotationSeconds = (servers: number, limitClass: LimitClass): number =>
  (servers + Math.ceil(servers / RANGE_SERVERS) + 2) / unwrapsPerSecond(limitClass);

const PROBE_SHARE = 0.1;

/** Seconds between two probes of a version in a vault with so many in use. */
export const probeSeconds = (versions: number, ciphertextBytes: number, shortest = 10): number =>
  // The app counts every key as one in an HSM, whose limit is the lower one.
  Math.max(
    shortest,
    (versions * costOf(limitClassOf('RSA-HSM', ciphertextBytes), LIMITS) * 10) / PROBE_SHARE,
  );

export interface CostLine {
  readonly name: PriceName;
  readonly quantity: number;
  readonly usd: number;
}

export const costsOf = (fleet: Fleet): readonly CostLine[] =>
  Object.entries(monthly(fleet)).flatMap(([key, quantity]) => {
    if (!isPriceName(key)) throw new Error(`there is no price of ${key}`);
    const price: Price = PRICES[key];
    const usd = (Math.max(0, quantity - (price.free ?? 0)) / price.per) * price.usd;
    return [{ name: key, quantity, usd }];
  });

const isPriceName = (name: string): name is PriceName => name in PRICES;

const markdown = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map((_, index) => (index === 0 ? '---' : '---:')), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');

const counted = (value: number): string => Math.round(value).toLocaleString('en-US');
const dollars = (value: number): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

function duration(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))} s`;
  if (seconds < 3600) return `${Math.ceil(seconds / 60)} min`;
  return `${(Math.ceil(seconds / 360) / 10).toFixed(1)} h`;
}

/** By the name that the page has between its marks. */
export const TABLES: Readonly<Record<string, () => string>> = {
  probe: () =>
    markdown(
      ['key versions in use in one vault', 'RSA 2048', 'RSA 3072', 'RSA 4096'],
      [10, 25, 50, 200, 500].map((versions) => [
        counted(versions),
        ...[256, 384, 512].map((bytes) => `${Math.ceil(probeSeconds(versions, bytes))} s`),
      ]),
    ),
  rotation: () =>
    markdown(
      [
        'key',
        'vault gives in 10 s',
        'rotation may use a second',
        ...SIZES.map((size) => `${counted(size)} servers`),
      ],
      CLASSES.map((limitClass) => [
        limitClass,
        counted(PUBLISHED_LIMITS[limitClass]),
        unwrapsPerSecond(limitClass).toFixed(1),
        ...SIZES.map((size) => duration(rotationSeconds(size, limitClass))),
      ]),
    ),
  prices: () =>
    markdown(
      ['input', 'what', 'USD', 'read'],
      Object.entries<Price>(PRICES).map(([name, { what, usd, per, unit, free, source }]) => [
        `\`${name}\``,
        what,
        `${usd} per ${per === 1 ? '' : `${counted(per)} `}${unit}${free === undefined ? '' : `, ${counted(free)} free`}`,
        source,
      ]),
    ),
  costs: () => {
    const columns = FLEETS.map((fleet) => costsOf(fleet));
    const names = columns[0]?.map(({ name }) => name) ?? [];
    const of = (lines: readonly CostLine[], name: PriceName) => lines.find((line) => line.name === name);
    return markdown(
      ['in a month', ...FLEETS.map(({ servers, keys }) => `${counted(servers)} servers, ${keys} keys: USD`)],
      [
        ...names.map((name) => [
          PRICES[name].what,
          ...columns.map((lines) => {
            const line = of(lines, name);
            return line === undefined ? '–' : `${dollars(line.usd)} (${counted(line.quantity)})`;
          }),
        ]),
        [
          '**all of these**',
          ...columns.map((lines) => `**${dollars(lines.reduce((sum, { usd }) => sum + usd, 0))}**`),
        ],
      ],
    );
  },
};

const blockOf = (name: string): RegExp =>
  new RegExp(`(<!-- ${name}: node scripts/costs\\.ts -->\n)[\\s\\S]*?(\n<!-- end -->)`);

/** The page with every table made anew. @throws Error where the page lacks one */
export function withTables(page: string): string {
  return Object.entries(TABLES).reduce((text, [name, make]) => {
    if (!blockOf(name).test(text)) throw new Error(`the page has no table ${name}`);
    return text.replace(
      blockOf(name),
      (_, before: string, after: string) => `${before}\n${make()}\n${after}`,
    );
  }, page);
}
