// A line chart as an SVG: axes from zero, a legend, and the points themselves.

export interface Series {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
  /** Logarithmic x: for sizes that grow by factors. */
  readonly logX?: boolean;
  /** Whether each point is marked. */
  readonly dots?: boolean;
}

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 64;
const RIGHT = 24;
const TOP = 44;
const BOTTOM = 52;
const LEGEND_LINE = 18;
const COLOURS = ['#0969da', '#cf222e', '#1a7f37', '#9a6700', '#8250df', '#57606a'];

const toXml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const round = (value: number) => String(Math.round(value * 10) / 10);

/** About five steps of 1, 2 or 5 times a power of ten, up to at least `max`. */
export function ticksTo(max: number): readonly number[] {
  const rough = (max > 0 ? max : 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough) ?? rough;
  const count = Math.ceil(max / step);
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

export function drawChart({ title, xLabel, yLabel, series, logX = false, dots = true }: Chart): string {
  const all = series.flatMap(({ points }) => points);
  const xs = all.map(({ x }) => x);
  const yTicks = ticksTo(Math.max(...all.map(({ y }) => y)));
  const xTicks = logX ? [...new Set(xs)].toSorted((a, b) => a - b) : ticksTo(Math.max(...xs));
  const scale = (value: number) => (logX ? Math.log(value) : value);
  const [xMin, xMax] = [scale(xTicks[0] ?? 0), scale(xTicks.at(-1) ?? 1)];
  const yMax = yTicks.at(-1) ?? 1;
  const bottom = HEIGHT - BOTTOM;
  const atX = (x: number) =>
    LEFT + ((scale(x) - xMin) / Math.max(1e-9, xMax - xMin)) * (WIDTH - LEFT - RIGHT);
  const atY = (y: number) => bottom - (y / yMax) * (bottom - TOP);
  const text = (x: number, y: number, anchor: string, content: string) =>
    `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${toXml(content)}</text>`;
  const height = HEIGHT + series.length * LEGEND_LINE;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${toXml(title)}" font-family="sans-serif" font-size="12" fill="#24292f">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="24" font-size="15" font-weight="bold">${toXml(title)}</text>`,
    ...yTicks.flatMap((tick) => [
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(atY(tick))}" y2="${round(atY(tick))}" stroke="#d0d7de"/>`,
      text(LEFT - 8, atY(tick) + 4, 'end', tick.toLocaleString('en')),
    ]),
    ...xTicks.map((tick) => text(atX(tick), bottom + 18, 'middle', tick.toLocaleString('en'))),
    text((LEFT + WIDTH - RIGHT) / 2, bottom + 38, 'middle', xLabel),
    `<text transform="translate(16 ${round((TOP + bottom) / 2)}) rotate(-90)" text-anchor="middle">${toXml(yLabel)}</text>`,
    ...series.flatMap(({ name, points }, index) => {
      const colour = COLOURS[index % COLOURS.length];
      const path = points.map(({ x, y }) => `${round(atX(x))},${round(atY(y))}`).join(' ');
      const legendY = HEIGHT + index * LEGEND_LINE;
      return [
        `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...(dots
          ? points.map(
              ({ x, y }) => `<circle cx="${round(atX(x))}" cy="${round(atY(y))}" r="3" fill="${colour}"/>`,
            )
          : []),
        `<line x1="${LEFT}" x2="${LEFT + 24}" y1="${legendY - 4}" y2="${legendY - 4}" stroke="${colour}" stroke-width="2"/>`,
        text(LEFT + 32, legendY, 'start', name),
      ];
    }),
    '</svg>',
    '',
  ].join('\n');
}
