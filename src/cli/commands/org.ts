import { IdempotencyMismatchError, InvalidInputError } from '../../core/errors.js'
import type { Organization } from '../../schema/organizations.js'
import type { AddCommand } from '../command.js'
import { usageOf } from '../command.js'
import { bySlug, systemOptions, withSystem } from '../system-login.js'

export const addOrg: AddCommand = (program, run) =>
  program.command('org', 'Creates organizations, lists them, and suspends them', (group) =>
    [addCreate, addList, addSuspend, addReactivate]
      .reduce((all, add) => add(all, run), group)
      .demandCommand(1, 'Name a command: create, list, suspend or reactivate'),
  )

const addCreate: AddCommand = (group, run) =>
  group.command(
    'create [slug]',
    'Creates an organization with its roles, its owner and its plan',
    (command) =>
      systemOptions(command)
        .usage(
          usageOf(
            'org create <slug>',
            'Creates an organization with the built-in roles, an owner and a plan: all of it, or nothing. Another run with the',
            'same values changes nothing and prints the same organization. A person who has the address of the owner already',
            'becomes the owner if the address is confirmed. The plan must exist: run `tenantry seed` first.',
          ),
        )
        .positional('slug', { type: 'string', describe: 'The short name for urls, such as acme' })
        .option('owner', { type: 'string', requiresArg: true, describe: "The owner's email address" })
        .option('owner-id', { type: 'string', requiresArg: true, describe: 'The id of an existing person, instead' })
        .option('name', { type: 'string', requiresArg: true, describe: 'Default: the slug' })
        .option('plan', {
          type: 'string',
          requiresArg: true,
          default: 'tier_free',
          describe: 'The id of a billing plan',
        })
        .option('external-id', { type: 'string', requiresArg: true, describe: 'Your own id for this customer' })
        .option('key', {
          type: 'string',
          requiresArg: true,
          describe: 'The same key gives the same organization again. Default: made from the slug',
        })
        .example('$0 org create acme --owner ada@acme.example', 'the first organization'),
    run(async (args, context) => {
      const { slug, owner, ownerId, name, plan, externalId, key } = args
      if (slug === undefined) throw new InvalidInputError('', 'Name the organization: tenantry org create <slug>')
      if ((owner === undefined) === (ownerId === undefined)) {
        throw new InvalidInputError('', 'Pass either --owner <address> or --owner-id <id of a person>')
      }
      const making = withSystem(context, args, (system) =>
        system.organizations.provision({
          key: key ?? `tenantry org create ${slug}`,
          name: name ?? slug,
          slug,
          plan,
          owner: owner === undefined ? { userId: ownerId ?? '' } : { email: owner },
          ...(externalId !== undefined && { externalId }),
        }),
      )
      const { organization, isNew } = await making.catch((error: unknown) => {
        if (key === undefined && error instanceof IdempotencyMismatchError)
          throw new InvalidInputError(
            '',
            `the organization ${slug} exists with other values: see tenantry org list, or give another slug`,
          )
        throw error
      })
      return {
        lines: [`${isNew ? 'Created' : 'There is already'} ${describe(organization)}`],
        document: { organization, isNew },
      }
    }),
  )

const addList: AddCommand = (group, run) =>
  group.command(
    'list',
    'Lists the organizations, newest first',
    (command) =>
      systemOptions(command)
        .usage(usageOf('org list', 'Lists the organizations, newest first, the suspended ones too.'))
        .option('limit', { type: 'number', requiresArg: true, default: 50, describe: 'How many, 1 to 1,000' }),
    run(async (args, context) => {
      const { items, next } = await withSystem(context, args, (system) =>
        system.organizations.list({ limit: args.limit }),
      )
      return {
        lines: [
          ...items.map(describe),
          ...(items.length === 0 ? ['There are no organizations. Create one: tenantry org create <slug>'] : []),
          ...(next === undefined ? [] : [`There are more than ${items.length}: raise --limit`]),
        ],
        document: { organizations: items, hasMore: next !== undefined },
      }
    }),
  )

const addSuspend: AddCommand = (group, run) =>
  group.command(
    'suspend [slug]',
    'Refuses every read and write of an organization',
    (command) =>
      systemOptions(command)
        .usage(
          usageOf(
            'org suspend <slug>',
            'From now on every read and write of the organization is refused. The reason is also stored in the organization, as',
            '`suspended_reason`, which `org list` prints.',
          ),
        )
        .positional('slug', { type: 'string', describe: 'The slug of the organization' })
        .demandOption('reason'),
    run(async (args, context) => {
      const organization = await withSystem(context, args, async (system) => {
        const { id } = await bySlug(system, args.slug)
        return system.organizations.suspend(id, args.reason)
      })
      return { lines: [`Suspended ${describe(organization)}`], document: { organization } }
    }),
  )

const addReactivate: AddCommand = (group, run) =>
  group.command(
    'reactivate [slug]',
    'Serves a suspended organization again',
    (command) =>
      systemOptions(command)
        .usage(usageOf('org reactivate <slug>', 'Serves a suspended organization again.'))
        .positional('slug', { type: 'string', describe: 'The slug of the organization' }),
    run(async (args, context) => {
      const organization = await withSystem(context, args, async (system) => {
        const { id } = await bySlug(system, args.slug)
        return system.organizations.reactivate(id)
      })
      return { lines: [`Reactivated ${describe(organization)}`], document: { organization } }
    }),
  )

const describe = ({ slug, name, id, status, suspendedReason }: Organization): string =>
  `${slug}  ${id}  ${status}${suspendedReason === null ? '' : ` (${suspendedReason})`}${name === slug ? '' : `  ${name}`}`
