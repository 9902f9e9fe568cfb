import {axisOf} from './axis.js';
import {COLOURS, type DrawnDistribution} from './distribution.js';
import {escaped, FRAME} from './page.js';
import {describe, PANEL_HEIGHT, panelOf} from './panel.js';

/** What a drawing shows. */
export interface Drawing {
  title: string;
  /** Lines about the machine. */
  about: readonly string[];
  /** What the axis of time measures. */
  time: string;
  distributions: readonly DrawnDistribution[];
}

/**
 * A drawing with one panel for each distribution: the histogram, and over it the cumulative curve. All panels have the same axis of
 * time.
 *
 * It follows the light or dark scheme of its viewer if the viewer reports one, and is legible without. Every panel has a text for
 * those who do not see it.
 */
export const svgOf = ({title, about, time, distributions}: Drawing): string => {
  const axis = axisOf(distributions, time);
  const legendAt = 44 + about.length * 17;
  const top = legendAt + 26;
  const height = top + distributions.length * (PANEL_HEIGHT + GAP);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${FRAME.width}" height="${height}" viewBox="0 0 ${FRAME.width} ${height}" role="img" aria-labelledby="title description" font-family="system-ui, sans-serif" font-size="12">`,
    `<title id="title">${escaped(title)}</title>`,
    `<desc id="description">${escaped(distributions.map(describe).join(' '))}</desc>`,
    `<style>${STYLE}</style>`,
    `<rect class="ground" width="${FRAME.width}" height="${height}"/>`,
    `<text class="ink" x="${FRAME.left}" y="26" font-size="16" font-weight="600">${escaped(title)}</text>`,
    ...about.map(
      (line, at) => `<text class="faint" x="${FRAME.left}" y="${46 + at * 17}">${escaped(line)}</text>`,
    ),
    ...(distributions.length === 0 ? [] : legend(distributions, legendAt)),
    ...distributions.flatMap((each, index) => panelOf(each, axis, top + index * (PANEL_HEIGHT + GAP))),
    '</svg>',
    '',
  ].join('\n');
};

const GAP = 16;

const STYLE = [
  '.ground{fill:#ffffff}.ink{fill:#1f2328}.faint{fill:#5b636b}.grid{stroke:#d5dae0}.rule{stroke:#8b949e}.curve,.median{stroke:#1f2328}',
  '@media (prefers-color-scheme:dark){.ground{fill:#0f1216}.ink{fill:#e6e9ed}.faint{fill:#a3abb5}.grid{stroke:#30363d}.rule{stroke:#6e7681}.curve,.median{stroke:#e6e9ed}}',
].join('');

/** What bars, curve and dashes stand for. */
const legend = (distributions: readonly DrawnDistribution[], y: number): string[] => {
  const colours = [...new Set(distributions.map(({colour}) => COLOURS[colour]))];
  const {left} = FRAME;
  const bars = left + colours.length * 10 + 6;
  return [
    ...colours.map(
      (colour, at) =>
        `<rect x="${left + at * 10}" y="${y - 3}" width="10" height="10" fill="${colour}" fill-opacity="0.75"/>`,
    ),
    `<text class="faint" x="${bars}" y="${y + 6}">samples in a range (left)</text>`,
    `<line class="curve" stroke-width="1.5" x1="${bars + 156}" x2="${bars + 180}" y1="${y + 2}" y2="${y + 2}"/>`,
    `<text class="faint" x="${bars + 186}" y="${y + 6}">samples not longer (right)</text>`,
    `<line class="median" stroke-width="1.5" stroke-dasharray="4 3" x1="${bars + 350}" x2="${bars + 374}" y1="${y + 2}" y2="${y + 2}"/>`,
    `<text class="faint" x="${bars + 380}" y="${y + 6}">median</text>`,
  ];
};
