import { getTableConfig } from 'drizzle-orm/pg-core'
import { organizationTables } from '../support/every-table.js'

/** A node of what EXPLAIN gives as JSON. */
export interface PlanNode {
  readonly 'Node Type': string
  /** Of a ModifyTable. */
  readonly Operation?: string
  readonly 'Parent Relationship'?: string
  readonly 'Relation Name'?: string
  readonly 'Index Cond'?: string
  readonly 'One-Time Filter'?: string
  readonly Plans?: readonly PlanNode[]
}

// Of organizations the row itself is the organization's.
const tenantTables = new Set([...organizationTables.map((table) => getTableConfig(table).name), 'organizations'])

/**
 * Each read of an organization's table must find the organization in an index, behind a One-Time Filter: row security then asks
 * once a statement which organization is bound, and nothing is read when it is another one.
 */
export function examine(plan: PlanNode): string[] {
  const faults: string[] = []
  let reads = 0
  const visit = (node: PlanNode, isBehindFilter: boolean): void => {
    if (isNeverRun(node)) return
    const behind = isBehindFilter || (node['One-Time Filter'] ?? '').includes('platform.current_org() = ')
    if (isRead(node)) {
      reads++
      const read = `${node['Node Type']} of ${node['Relation Name'] ?? ''}`
      if (!findsOrganization(node)) faults.push(`${read} without its organization in an index`)
      if (!behind) faults.push(`${read} without a One-Time Filter`)
    }
    faults.push(...asksPerRow(node))
    for (const child of node.Plans ?? []) visit(child, behind && !isOfItsOwn(child))
  }
  visit(plan, false)
  if (reads === 0 && !readsNothing(plan)) faults.push('no read of an organization’s table')
  return faults
}

const isRead = (node: PlanNode): boolean => node['Node Type'] !== 'ModifyTable' && tenantTables.has(tableOf(node))

/** A partition counts as its table. */
const tableOf = (node: PlanNode): string => (node['Relation Name'] ?? '').replace(/_(?:\d{4}_\d{2}|default)$/, '')

/** It runs whether or not what stands around it does. */
const isOfItsOwn = (node: PlanNode): boolean => ['InitPlan', 'SubPlan'].includes(node['Parent Relationship'] ?? '')

function findsOrganization(node: PlanNode): boolean {
  const parts = node.Plans ?? []
  switch (node['Node Type']) {
    case 'Index Scan':
    case 'Index Only Scan':
    case 'Bitmap Index Scan':
      return ownerOf(node).test(node['Index Cond'] ?? '')
    case 'Bitmap Heap Scan':
    case 'BitmapAnd':
      return parts.some((part) => findsOrganization(part))
    case 'BitmapOr':
      return parts.every((part) => findsOrganization(part))
    default:
      return false
  }
}

const ownerOf = (node: PlanNode): RegExp =>
  node['Relation Name'] === 'organizations' ? ownerIn('id') : ownerIn('org_id')

const ownerIn = (column: string): RegExp => new RegExp(`\\b${column} = (?:\\$\\d+|'[0-9a-f-]{36}'::uuid)`)

const asksPerRow = (node: PlanNode): string[] =>
  Object.entries(node)
    .filter(([name, value]) => name !== 'One-Time Filter' && typeof value === 'string' && value.includes('current_org'))
    .map(([name, value]) => `${node['Node Type']} asks for the bound organization in its ${name}: ${String(value)}`)

/**
 * An insert of given rows reads nothing: row security checks each row that it writes. And the server knows of some statements
 * that they find nothing, such as those that look for an empty field where none can be.
 */
const readsNothing = (plan: PlanNode): boolean => isInsert(plan) || hasPartNeverRun(plan)

/** Whether it only inserts: a row, and its entry in the audit log. */
function isInsert(plan: PlanNode): boolean {
  const operations = operationsOf(plan)
  return operations.length > 0 && operations.every((operation) => operation === 'Insert')
}

const operationsOf = ({ Operation, Plans = [] }: PlanNode): string[] => [
  ...(Operation === undefined ? [] : [Operation]),
  ...Plans.flatMap(operationsOf),
]

const isNeverRun = (node: PlanNode): boolean => node['One-Time Filter'] === 'false'

const hasPartNeverRun = (node: PlanNode): boolean => isNeverRun(node) || (node.Plans ?? []).some(hasPartNeverRun)
