import { setTimeout as pause } from 'node:timers/promises'
import { InvalidInputError, MigrationError } from '../../core/errors.js'
import type { TenantMoved } from '../../migrations/move-tenant.js'
import type { ClusterNode } from '../../migrations/tenant-shards.js'
import { type AddCommand, asOwner, connecting, type Context, usageOf } from '../command.js'
import { withBar, withProgress } from '../progress.js'
import { counted, type Report } from '../report.js'
import { exitOf, remainingLines } from './bootstrap.js'

export const addTenant: AddCommand = (program, run) =>
  program.command(
    'tenant',
    'Shows the organizations of a Citus cluster by size, and moves them between nodes',
    (group) =>
      [addList, addIsolate, addMove]
        .reduce((all, add) => add(all, run), group)
        .demandCommand(1, 'Name a command: list, isolate or move'),
  )

const addList: AddCommand = (group, run) =>
  group.command(
    'list',
    'Lists the organizations by size, with their nodes',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'tenant list',
            'On the coordinator of a Citus cluster, as the owner of the tables: lists the organizations, those with the most rows first, and',
            'the node where their rows are. The rows of all sharded tables are counted, which reads all of them, so run it',
            'when the cluster is not busy. An organization that has shards of its own also shows their size, with indexes.',
          ),
        )
        .option('limit', { type: 'number', requiresArg: true, default: 20, describe: 'How many' })
        .example('$0 tenant list', 'the twenty largest organizations')
        .example('$0 tenant list --limit 100 --json', 'a hundred, for a program'),
    run(async (args, context) => {
      const { largestTenants, nameOf } = await import('../../migrations/tenant-shards.js')
      const { tables } = await context.project()
      const { tenants, hasMore } = await asOwner(context, args, (session) =>
        largestTenants(session, tables, args.limit),
      )
      return {
        lines: [
          ...tenants.map(
            ({ slug, id, rows, bytes, node }) =>
              `${slug}  ${id}  ${counted(rows, 'row')}${bytes === null ? '' : `, ${(bytes / 1e6).toFixed(1)} MB in shards of its own`}  ${nameOf(node)}`,
          ),
          ...(tenants.length === 0 ? ['There are no organizations. Create one: tenantry org create <slug>'] : []),
          ...(hasMore ? [`There are more than ${tenants.length}: raise --limit`] : []),
        ],
        document: { tenants: tenants.map(({ node, ...tenant }) => ({ ...tenant, node: nameOf(node) })), hasMore },
      }
    }),
  )

const positional = { type: 'string', describe: 'The slug or the id of the organization' } as const
const dryRunOption = { type: 'boolean', default: false, describe: 'Print the statements, and change nothing' } as const

const addIsolate: AddCommand = (group, run) =>
  group.command(
    'isolate [organization]',
    'Gives an organization shards of its own',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'tenant isolate <organization>',
            'On the coordinator of a Citus cluster, as the owner of the tables: gives an organization shards of its own, on the node',
            'where it is. Its rows are copied, and so are those of the organizations that share its shards: meanwhile writers of all',
            'these organizations wait, and readers do not. Nothing is done where it has shards of its own.',
            'Statements that the role may not run are printed, and the command ends with 3.',
          ),
        )
        .positional('organization', positional)
        .option('dry-run', dryRunOption)
        .example('$0 tenant isolate acme', 'by its slug'),
    run(async (args, context) => {
      const { isolateTenant } = await import('../../migrations/move-tenant.js')
      const organization = named(args.organization, 'tenant isolate <organization>')
      const { dryRun } = args
      const { tables } = await context.project()
      const moved = await asOwner(context, args, (session) =>
        withProgress(context.console, (progress) =>
          isolateTenant(session, tables, organization, { ...progress, dryRun }),
        ),
      )
      return report(moved, dryRun, 'has shards of its own')
    }),
  )

const addMove: AddCommand = (group, run) =>
  group.command(
    'move [organization]',
    'Moves an organization to another node',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'tenant move <organization> --to <host:port>',
            'On the coordinator of a Citus cluster, as the owner of the tables: moves the rows of an organization to another node, while',
            'they are read and written. Its writers wait only at the end, for a moment. It needs shards of its own:',
            'where it shares them, it is isolated first, for which the writers of all organizations in these shards wait until the rows are copied.',
            'The command asks before that; without a terminal it is refused unless --yes is given. Every node needs `wal_level = logical`. Nothing is',
            'done where the organization is on that node. Statements that the role may not run are printed, and the command ends with 3.',
          ),
        )
        .positional('organization', positional)
        .option('to', {
          type: 'string',
          requiresArg: true,
          demandOption: true,
          describe: 'The node, as `tenant list` shows it: host:port',
        })
        .option('dry-run', dryRunOption)
        .option('yes', { type: 'boolean', default: false, describe: 'Do not ask', alias: 'y' })
        .example('$0 tenant move acme --to 10.0.0.3:5432', 'asks before it isolates the organization')
        .example('$0 tenant move acme --to 10.0.0.3:5432 --dry-run', 'see what would be done'),
    run(async (args, context) => {
      const { moveProgress, moveTenant } = await import('../../migrations/move-tenant.js')
      const { nameOf, shardNodes, tenantShards } = await import('../../migrations/tenant-shards.js')
      const organization = named(args.organization, 'tenant move <organization> --to <host:port>')
      const { dryRun, yes } = args
      const { tables } = await context.project()
      return asOwner(context, args, async (session) => {
        const tenant = await tenantShards(session, tables, organization)
        const to = chosen(args.to, await shardNodes(session), nameOf)
        if (nameOf(tenant.node) !== args.to && tenant.bytes === null && !dryRun && !yes) {
          await confirmed(context, tenant.slug)
        }
        const moved = await withProgress(context.console, (progress) =>
          withBar(context.console, `moving ${tenant.slug} to ${args.to}`, (onProgress) =>
            watched(
              onProgress &&
                ((ended) =>
                  asOwner(context, args, async (watcher) =>
                    poll(ended, async () => {
                      const far = await moveProgress(watcher, tenant)
                      if (far !== undefined) onProgress(far)
                    }),
                  )),
              () => moveTenant(session, tables, tenant.id, to, { ...progress, dryRun }),
            ),
          ),
        )
        return report(moved, dryRun, `is on ${nameOf(moved.tenant.node)}`)
      })
    }),
  )

function named(organization: string | undefined, command: string): string {
  if (organization === undefined) throw new InvalidInputError('', `Name the organization: tenantry ${command}`)
  return organization
}

function chosen(to: string, nodes: readonly ClusterNode[], nameOf: (node: ClusterNode) => string): ClusterNode {
  const found = nodes.find((node) => nameOf(node) === to)
  if (found !== undefined) return found
  throw new InvalidInputError('--to', `must be a node that takes shards: ${nodes.map(nameOf).join(' or ')}`)
}

async function confirmed({ console }: Context, slug: string): Promise<void> {
  const what =
    `${slug} shares its shards with other organizations, so it gets shards of its own first. Until its rows are copied, the writers ` +
    'of all organizations in these shards wait.'
  if (!console.interactive) throw new MigrationError(`${what} Nothing was done: repeat it with --yes`)
  if (!(await console.confirm(`${what} Go on?`))) throw new MigrationError('Nothing was done')
}

/** Runs `watch` beside `work`, and ends it with it. What becomes of `watch` changes nothing. */
async function watched<T>(
  watch: ((ended: AbortSignal) => Promise<void>) | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const ended = new AbortController()
  const watching = watch?.(ended.signal).catch(() => undefined)
  try {
    return await work()
  } finally {
    ended.abort()
    await watching
  }
}

async function poll(signal: AbortSignal, read: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await read()
    await pause(1000, undefined, { signal }).catch(() => undefined)
  }
}

function report(moved: TenantMoved, dryRun: boolean, state: string): Report {
  const { tenant, done, remaining } = moved
  const { id, slug, bytes, node } = tenant
  const nothing = done.length + remaining.length === 0
  const lines = dryRun && !nothing ? done.map((sql) => `${sql};`) : []
  if (nothing) lines.push(`${slug} ${state} already.`)
  else if (!dryRun && remaining.length === 0) lines.push(`${slug} ${state}.`)
  return {
    lines: [...lines, ...remainingLines(moved)],
    document: { dryRun, tenant: { id, slug, bytes, node: `${node.host}:${node.port}` }, done, remaining },
    exit: exitOf(moved),
  }
}
