import { placed as placedText } from '../../access/distribution.js'
import type { OwnPermissionsBrought } from '../../migrations/upgrade.js'
import { bootstrapLines, exitOf } from './bootstrap.js'
import { removedLines } from './migrate-down.js'
import { type AddCommand, asOwner, connecting, usageOf, whenRefused } from '../command.js'
import { chooseSets, projectToMigrate, targeted } from '../migration-sets.js'
import { withProgress } from '../progress.js'

export const addUp: AddCommand = (program, run) =>
  program.command(
    'up',
    'Brings the database to the state that this build needs',
    (command) =>
      targeted(connecting(command), 'Stop after this migration, given by its number or its name')
        .usage(
          usageOf(
            'migrate up',
            'Creates the roles (which needs CREATEROLE the first time on a server), applies the pending migrations, sets the rights of both roles, and adds',
            'new permissions. Your own migrations follow those of the library. Each file is one transaction;',
            'another run continues where the last one stopped, and changes nothing when all is done. Several runs at once wait',
            'for each other.',
            'Where `tenantry distribute` has placed the tables on the nodes of a cluster, new tables are placed too.',
            whenRefused,
            'The permissions of your config reach the built-in roles of every organization. Those that an earlier config had stay',
            'until --drop-permissions is given: a build that is still running may check them.',
            "With --set tenantry the library's migrations are applied all the same, without yours.",
          ),
        )
        .option('drop-permissions', {
          type: 'boolean',
          default: false,
          describe: 'Also remove the permissions that an earlier config had and yours has not',
        })
        .example('$0 migrate up', 'apply everything')
        .example('$0 migrate up --embedded ./data', 'the same in an embedded database')
        .example('$0 migrate up --set tenantry --to 3', 'only the migrations 0 to 3 of the library'),
    run(async (args, context) => {
      const { withMigrationLock } = await import('../../database/session-lock.js')
      const { upgrade } = await import('../../migrations/upgrade.js')
      const project = await context.project()
      const only = chooseSets(project, args)
      const { console } = context
      const { steps, bootstrap, permissions, placed, own } = await asOwner(context, args, (session) =>
        withProgress(console, (progress) =>
          withMigrationLock(session, progress, async () => {
            const build = await projectToMigrate(session, { project, cwd: context.cwd }, args.set)
            const { dropPermissions, to } = args
            return upgrade(session, build, { ...progress, only, dropPermissions, ...(to !== undefined && { to }) })
          }),
        ),
      )
      return {
        lines: [
          steps.length === 0 ? 'Nothing was pending.' : `Migrations applied: ${steps.length}.`,
          `Roles and rights: ${bootstrap.done.length === 0 ? 'as declared' : `${bootstrap.done.length} statements`}.`,
          ...(placed.length === 0 ? [] : [`Tables placed on the nodes of the cluster: ${placed.length}.`]),
          ...placed.map(({ name, placement }) => `  ${name} (${placedText(placement)})`),
          ...(permissions.length === 0 ? [] : [newPermissions(permissions)]),
          ...(own === undefined ? [] : ownLines(own)),
          // The advice belongs to the first setup; bootstrap and proof repeat it.
          ...bootstrapLines(steps.length === 0 ? { ...bootstrap, advised: [] } : bootstrap),
        ],
        document: {
          applied: steps.map(({ set, tag }) => ({ set, tag })),
          bootstrap,
          permissions,
          placed: placed.map(({ name, placement }) => ({ name, placement })),
          ...(own && documentOf(own)),
        },
        exit: exitOf(bootstrap),
      }
    }),
  )

/** In a new database all of them are new, so only their number is shown. */
const newPermissions = (keys: readonly string[]) =>
  `New permissions: ${keys.length > 10 ? keys.length : keys.join(', ')}.`

function ownLines({ given, taken, former, removed }: OwnPermissionsBrought): string[] {
  const changed = `Permissions of built-in roles: ${given} given, ${taken} taken, in all organizations.`
  return [
    ...(given + taken === 0 ? [] : [changed]),
    ...(former.length === 0
      ? []
      : [
          `Kept, but not in your config any more: ${former.join(', ')}. To remove them, run migrate up --drop-permissions.`,
        ]),
    ...removedLines(removed),
  ]
}

const documentOf = ({ former, removed }: OwnPermissionsBrought) => ({
  formerPermissions: former,
  removedPermissions: removed.keys,
  rolesThatLost: removed.roles,
})
