import { readFileSync, writeFileSync } from 'node:fs'
import { arch, cpus, platform } from 'node:os'
import type { Measured } from './measure.js'

export interface Comparison {
  readonly title: string
  readonly unit: 'µs' | 'calls/s'
  readonly measured: readonly Measured[]
}

export interface Goal {
  readonly what: string
  readonly figure: number
  readonly limit: number
  /** True when the limit is a minimum. */
  readonly atLeast?: boolean
  readonly unit?: string
}

export const isMet = ({ figure, limit, atLeast }: Goal): boolean => (atLeast ? figure >= limit : figure <= limit)

export function describe(comparisons: readonly Comparison[], goals: readonly Goal[]): string {
  const processor = cpus()[0]?.model ?? 'an unknown processor'
  return [
    `Node ${process.versions.node} on ${platform()} ${arch()}, ${processor}.`,
    table(
      ['Goal', 'Figure', 'Limit', ''],
      goals.map((goal) => [
        goal.what,
        withUnit(goal.figure, goal.unit, 3),
        `${goal.atLeast ? 'at least' : 'at most'} ${withUnit(goal.limit, goal.unit)}`,
        isMet(goal) ? 'met' : 'missed',
      ]),
    ),
    ...comparisons.map(
      ({ title, unit, measured }) =>
        `### ${title}\n\n` +
        table(
          ['', unit, 'Ratio', 'Quartiles'],
          measured.map(({ name, median, ratio, spread: [low, high] }) => [
            name,
            median.toFixed(median < 1000 ? 1 : 0),
            ratio.toFixed(2),
            `${low.toFixed(2)} to ${high.toFixed(2)}`,
          ]),
        ),
    ),
  ].join('\n\n')
}

const withUnit = (figure: number, unit = 'x', digits = 2): string =>
  `${figure.toFixed(digits)}${unit === 'x' ? 'x' : ` ${unit}`}`

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((word, column) => Math.max(3, ...[word, ...rows.map((row) => row[column] ?? '')].map(length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - length(cell))).join(' | ')} |`
  return [line(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.map(line)].join('\n')
}

const length = (text: string): number => text.length

/** The place on a page for the figures of one command. */
export interface Mark {
  readonly start: string
  readonly end: string
}

const mark: Mark = { start: '<!-- figures of npm run bench -- --write -->', end: '<!-- end of the figures -->' }

/** Writes the figures to their places on the pages, and the chart beside them. */
export function write(docs: URL, comparisons: readonly Comparison[], goals: readonly Goal[]): void {
  writeBetween(new URL('performance.md', docs), mark, describe(comparisons, goals))
  writeFileSync(new URL('performance.svg', docs), chart(comparisons))
}

export function writeBetween(file: URL, { start, end }: Mark, figures: string): void {
  const page = readFileSync(file, 'utf8')
  const from = page.indexOf(start)
  const to = page.indexOf(end, from)
  if (from < 0 || to < 0) throw new Error(`${file.pathname} has lost its marks`)
  writeFileSync(file, `${page.slice(0, from)}${start}\n\n${figures}\n\n${page.slice(to)}`)
}

const barWidth = 320
const lineHeight = 20
const colors = { ours: '#2f6f4f', theirs: '#9aa5b1' }

/** Draws each comparison as a group of bars with the length of their ratios. */
function chart(comparisons: readonly Comparison[]): string {
  const parts: string[] = []
  let y = 8
  for (const { title, measured } of comparisons) {
    const longest = Math.max(...measured.map(({ ratio }) => ratio))
    parts.push(`<text x="8" y="${y + 14}" font-weight="bold">${escaped(title)}</text>`)
    y += lineHeight
    for (const { name, ratio } of measured) {
      const width = Math.max(1, (barWidth * ratio) / longest)
      const color = name.startsWith('tenantry') ? colors.ours : colors.theirs
      parts.push(
        `<text x="8" y="${y + 14}">${escaped(name)}</text>`,
        `<rect x="240" y="${y + 3}" width="${width.toFixed(1)}" height="14" fill="${color}"/>`,
        `<text x="${(248 + width).toFixed(1)}" y="${y + 14}">${ratio.toFixed(2)}x</text>`,
      )
      y += lineHeight
    }
    y += 10
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 ${y}" font-family="sans-serif" font-size="12">
<rect width="640" height="${y}" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`
}

const escaped = (text: string): string => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`)
