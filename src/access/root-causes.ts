import type { ProofFault } from '../core/errors.js'

/** One row of the result of a proof. */
export interface Finding extends ProofFault {
  readonly isFault: boolean
  /** The login and its settings, or the contents of the database. */
  readonly about: 'login' | 'database'
}

/** Every mend that creates another login ends with this, and is recognized by it. An administrator's login is never altered. */
export const connectWithIt = '# where there is none yet; connect with the url of that login'

const migrateUp = 'npx tenantry migrate up'

/** The mend of each relation that looks like one of the host's own tables. */
export const passOwn =
  'pass `own` to openTenancy, with the module that exports these tables and the folder of their migrations; for the commands, name both in tenantry.config.ts'

/** A finding that explains others. Until it is mended, their mends would have no effect or do harm. */
interface Cause {
  readonly is: (finding: Finding) => boolean
  readonly explains: (finding: Finding) => boolean
}

const called = (fault: string) => (finding: Finding) => finding.fault === fault
const everything = () => true

// `login create` refuses to grant its role to a login with rights beyond its role.
const more = new Set([
  'bypasses row security',
  'may create roles or databases, or replicate',
  'is a member of another role',
  'owns something',
])
const isMoreThanALogin = ({ fault }: Finding) => more.has(fault)

// In the order in which they must be mended: the roles and the tables must exist before a login can be created.
const causes: readonly Cause[] = [
  { is: called('the database was never migrated'), explains: everything },
  // It creates the roles too.
  { is: ({ mend }) => mend === migrateUp, explains: called('the role is missing') },
  { is: called('the role is missing'), explains: everything },
  // An owner or a superuser is meant to have the rights that the other findings list.
  { is: ({ mend }) => mend.endsWith(connectWithIt), explains: everything },
  { is: isMoreThanALogin, explains: called('does not have the rights of its role') },
  { is: called('migrations are not applied'), explains: ({ about }) => about === 'database' },
]

/**
 * Leaves out findings that another one explains. The result is never empty when there was a finding, because the explaining one
 * stays.
 */
export function rootCauses(findings: readonly Finding[]): Finding[] {
  const left = causes.reduce(
    (all, { is, explains }) => (all.some(is) ? all.filter((one) => is(one) || !explains(one)) : all),
    findings,
  )
  return oneForEach(
    left.map((one) => (one.mend === passOwn ? { ...one, fault: 'tables of your own are not declared' } : one)),
  )
}

/** Findings with the same mend become one line: a lost schema has fifty tables, the host may have a hundred. */
function oneForEach(findings: readonly Finding[]): Finding[] {
  const byMend = new Map<string, Finding[]>()
  for (const finding of findings) {
    const key = finding.mend.endsWith(connectWithIt) ? finding.mend : `${finding.fault}\n${finding.mend}`
    byMend.set(key, [...(byMend.get(key) ?? []), finding])
  }
  return [...byMend.values()].map(inOne)
}

function inOne(findings: readonly Finding[]): Finding {
  // What an owner is a member of, and may do besides, follows from it.
  const isOwner = ({ fault }: Finding) => fault === 'owns something'
  const sorted = findings.toSorted((a, b) => Number(isOwner(b)) - Number(isOwner(a)) || byText(a, b))
  const details = [...new Set(sorted.map(({ detail }) => detail))]
  const further = details.length > 3 ? `; and ${details.length - 3} more` : ''
  return { ...(sorted[0] as Finding), detail: `${details.slice(0, 3).join('; ')}${further}` }
}

/** An order that does not depend on the query plan. */
export const byText = (a: ProofFault, b: ProofFault) => Number(textOf(a) > textOf(b)) - Number(textOf(a) < textOf(b))

const textOf = ({ fault, detail }: ProofFault) => `${fault}\n${detail}`
