import { type AddCommand, asOwner, connecting, usageOf, whenRefused } from '../command.js'
import { withEverySet } from '../migration-sets.js'
import { withProgress } from '../progress.js'
import { counted } from '../report.js'
import { block, exitOf, remainingLines } from './bootstrap.js'

export const addDistribute: AddCommand = (program, run) =>
  program.command(
    'distribute',
    'Distributes the tables over the nodes of a Citus cluster',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'distribute',
            'Run it on the coordinator of a Citus cluster, after `migrate up` and as the owner of the tables. The rows of an organization',
            'come to lie together on one node, those of a person likewise, and small tables that every query needs are on all nodes:',
            'the kind of each table says which, your own tables included. It is one transaction, which holds off all writers until it is done;',
            'afterwards the application works as before. Functions and logins that are older than the nodes are put there too. It also sets',
            'what the cluster needs for the database, and revokes functions by which SQL text could leave its organization. A second run',
            'changes nothing. A table that is distributed in another way is an error, and is left as it is.',
            whenRefused,
          ),
        )
        .option('dry-run', { type: 'boolean', default: false, describe: 'Print the statements, and change nothing' })
        .example('$0 distribute --dry-run', 'see what would be done')
        .example('$0 distribute', 'after migrate up, on the coordinator'),
    run(async (args, context) => {
      const { distribute } = await import('../../migrations/distribute.js')
      const project = await context.project()
      const { dryRun } = args
      const done = await asOwner(context, args, (session) =>
        withProgress(context.console, (progress) =>
          withEverySet(session, { project, cwd: context.cwd }, progress, () =>
            distribute(session, project.tables, { ...progress, dryRun }),
          ),
        ),
      )
      const { tables, before, local } = done
      const statements = [...(dryRun ? tables.map(({ statement }) => statement) : []), ...done.done]
      return {
        lines: [
          `${dryRun ? 'Tables to distribute' : 'Tables distributed'}: ${tables.length}${before === 0 ? '' : `, and ${before} were before`}.`,
          ...(done.workers === 0
            ? [
                'This coordinator knows no other node that takes shards, so every row stays here. Add the nodes first, with citus_add_node(host, port);',
                'for shards that are here already, run `select rebalance_table_shards()` afterwards.',
              ]
            : []),
          ...statements.map((sql) => `  ${sql};`),
          ...(local.length === 0 ? [] : [`On the coordinator alone: ${counted(local.length, 'table')}.`]),
          ...local.map(({ name, reason }) => `  ${name} (${reason})`),
          ...remainingLines(done),
          ...block(
            'Advised, and only a superuser may run it: otherwise SQL text in org.db can reach the rows of other organizations on the nodes:',
            done.advised,
          ),
        ],
        document: { dryRun, ...done },
        exit: exitOf(done),
      }
    }),
  )
