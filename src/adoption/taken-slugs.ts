import { quoted } from '../core/statements/column-plan.js'
import type { AdoptedSchema } from './adopted-schema.js'
import type { Finding } from './findings.js'
import type { Reader } from './read-only.js'
import { slugOf } from './steps/organizations.js'

/** The slug of an organization that is made for rows without one may be that of a row of the organizations, which would lose it. */
export async function takenSlugs(session: Reader, { sources, constants }: AdoptedSchema): Promise<Finding[]> {
  const findings: Finding[] = []
  const slugs = constants.map(({ slug }) => slug)
  for (const { table, on, name, slug } of sources.filter(({ isRoot }) => isRoot && slugs.length > 0)) {
    const text = (column: string | undefined) => (column === undefined ? 'null' : `t.${quoted(column)}::text`)
    const taken = await session.query<{ slug: string }>(
      `select distinct w.slug from ${on} t join pg_catalog.unnest($1::text[]) w(slug) on w.slug = ${slugOf(text(slug), text(name))} order by 1`,
      [slugs],
    )
    findings.push(
      ...taken.map((one): Finding => ({
        table: table.name,
        kind: 'slug',
        needs: 'decision',
        message: `a row of ${table.name} becomes the organization with the slug ${one.slug}, and { "constant": "${one.slug}" } makes another one: write another slug there, or let the rows lead to that row of ${table.name}`,
      })),
    )
  }
  return findings
}
