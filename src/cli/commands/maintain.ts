import type { Maintained } from '../../operations/maintenance.js'
import type { AddCommand } from '../command.js'
import { usageOf } from '../command.js'
import { withBar } from '../progress.js'
import { exit } from '../report.js'
import { systemOptions, withSystem } from '../system-login.js'
import { notSealedLine } from './audit.js'

export const addMaintain: AddCommand = (program, run) =>
  program.command(
    'maintain',
    'Queues tasks with expired leases again, removes what has expired, rolls subscriptions, and seals the audit log',
    (command) =>
      systemOptions(command)
        .usage(
          usageOf(
            'maintain',
            'Requeues tasks with an expired lease, and removes expired idempotency keys, hourly counts of API keys,',
            'expired invitations and ended sessions. Rolls the periods of subscriptions without a provider, and ends their',
            'cancellations and trials. Seals new entries of the audit logs; without master keys (TENANTRY_KEYS) none. Run it',
            'by cron, for example every hour: it goes in short transactions, may be stopped at any moment, and does nothing',
            'when nothing is past. Ends with 3 when a partition is missing, or rows are in a default partition: the owner then',
            'runs `tenantry partitions ensure`; or an organization has an audit entry that cannot be sealed; or the audit log',
            'was sealed before, and there are no master keys or other ones.',
          ),
        )
        .option('limit', {
          type: 'number',
          requiresArg: true,
          describe: 'The most rows of each kind. Default: 100,000',
        })
        .option('keep-session-days', {
          type: 'number',
          requiresArg: true,
          describe: 'Days to keep a session after its end. Default: 30',
        })
        .option('keep-invitation-days', {
          type: 'number',
          requiresArg: true,
          describe: 'Days to keep an unanswered invitation after it expired. Default: 30',
        })
        .example('$0 maintain', 'in a cron job'),
    run(async (args, context) => {
      const { limit, keepSessionDays, keepInvitationDays } = args
      const options = { limit, keepSessionDays, keepInvitationDays }
      const maintained = await withSystem(context, args, (system) =>
        context.stoppable((signal) =>
          withBar(
            context.console,
            'maintenance',
            (onProgress) => system.maintenance.run({ ...options, signal, onProgress }),
            ({ isComplete }) => (isComplete ? 'maintenance' : 'maintenance, stopped'),
          ),
        ),
      )
      const { missing, inDefault } = maintained.partitions
      const { notSealed, sealingStopped } = maintained
      const findings = missing.length + inDefault.length + notSealed.length + (sealingStopped === null ? 0 : 1)
      return {
        lines: linesOf(maintained),
        document: maintained,
        exit: findings === 0 ? exit.fine : exit.findings,
      }
    }),
  )

function linesOf({ rows, isComplete, hasKeys, sealingStopped, notSealed, partitions }: Maintained): string[] {
  const { taskLeases, idempotencyKeys, apiKeyWindows, invitations, sessions, subscriptions, auditEntries } = rows
  const ended: readonly (readonly [number, string])[] = [
    [taskLeases, 'tasks with an expired lease queued again, or failed'],
    [idempotencyKeys, 'expired idempotency keys removed'],
    [apiKeyWindows, 'past hours of API keys removed'],
    [invitations, 'expired invitations removed'],
    [sessions, 'ended sessions removed'],
    [subscriptions, 'subscriptions rolled to their next period, or ended'],
    [auditEntries, 'audit entries sealed'],
  ]
  const told = ended.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
  return [
    ...told,
    ...(told.length === 0 ? ['Nothing is past.'] : []),
    ...(isComplete ? [] : ['There may be more: run it again, or raise --limit.']),
    ...sealingLines(hasKeys, sealingStopped),
    ...notSealed.map(notSealedLine),
    ...partitions.missing.map((partition) => `${partition} is missing: the owner runs tenantry partitions ensure`),
    ...partitions.inDefault.map(
      (table) => `${table} has rows in its default partition: the owner runs tenantry partitions ensure`,
    ),
  ]
}

function sealingLines(hasKeys: boolean, sealingStopped: Maintained['sealingStopped']): string[] {
  const mend = 'set TENANTRY_KEYS to the keys of the application.'
  if (sealingStopped === 'wrong key')
    return [`No audit entries were sealed: the active key is not the one that this database was used with; ${mend}`]
  if (sealingStopped === 'no keys') return [`Earlier audit entries were sealed, and new ones are not: ${mend}`]
  return hasKeys ? [] : ['Without master keys (TENANTRY_KEYS) no audit entries were sealed.']
}
