import type { Login } from '../../access/logins.js'
import { InvalidInputError } from '../../core/errors.js'
import { type AddCommand, ownersEnvironment, usageOf, whenRefused } from '../command.js'
import { requireEverySet } from '../migration-sets.js'
import { exit } from '../report.js'
import { ownersPlace, type Place } from '../sessions.js'

export const addLogin: AddCommand = (program, run) =>
  program.command('login', 'Creates the logins of the application', (group) =>
    addCreate(group, run).demandCommand(1, 'Name a command: create'),
  )

const addCreate: AddCommand = (program, run) =>
  program.command(
    'create [name]',
    'Creates a login for the application, or for jobs that work across all organizations',
    (command) =>
      command
        .epilogue(ownersEnvironment)
        .usage(
          usageOf(
            'login create <name>',
            'Creates the login that the application connects with. It is a member of tenantry_app (or tenantry_system) and of',
            'no other role. Prints the line for the environment, with a generated password that is shown only this once;',
            'the server gets only a hash of it. Needs CREATEROLE. An existing login gets the rights that it lacks,',
            'and keeps its password unless you pass another one.',
            whenRefused,
          ),
        )
        .positional('name', { type: 'string', describe: 'The name of the login' })
        .option('system', {
          type: 'boolean',
          default: false,
          describe: 'For jobs that work across all organizations: a member of tenantry_system',
        })
        .option('password-stdin', {
          type: 'boolean',
          default: false,
          describe: 'Read the password from stdin, or ask for it on a terminal, instead of generating one',
        })
        .example('$0 login create shop_web', 'for DATABASE_URL')
        .example('$0 login create shop_jobs --system', 'for SYSTEM_DATABASE_URL')
        .example('$0 login create shop_web --password-stdin < secret', 'with a password of your own'),
    run(async (args, context) => {
      const { createLogin } = await import('../../access/logins.js')
      const { name, system, passwordStdin } = args
      if (name === undefined) throw new InvalidInputError('', 'Name the login: tenantry login create <name>')
      const password = passwordStdin ? await context.console.askSecret(`The password of ${name}`) : undefined
      if (passwordStdin && !password) throw new InvalidInputError('password', 'is empty')
      const place = ownersPlace(undefined, context.env)
      const project = await context.project()
      const login = await context.connected(place, async (session) => {
        await requireEverySet(session, { project, cwd: context.cwd })
        return createLogin(session, name, { system, ...(password !== undefined && { password }) })
      })
      const isComplete = login.remaining.length === 0
      const keptPassword = login.password === undefined && password === undefined
      return {
        lines: [
          ...(isComplete ? [`${name} is a login of ${login.role}.`] : []),
          ...urlLines(login, place),
          ...(keptPassword ? ['It existed and keeps its password; --password-stdin sets another one.'] : []),
          ...(isComplete
            ? []
            : ['The role that ran this command may not run these statements. Run them as a role that may:']),
          ...login.remaining.map((sql) => `  ${sql};`),
        ],
        document: login,
        exit: isComplete ? exit.fine : exit.findings,
      }
    }),
  )

/** The url that was used, with the new login in it. A given password is not repeated. */
function urlLines({ name, password, role }: Login, place: Place): string[] {
  if (password === undefined || !('url' in place)) return []
  const url = Object.assign(new URL(place.url), { username: name, password })
  const variable = role === 'tenantry_system' ? 'SYSTEM_DATABASE_URL' : 'DATABASE_URL'
  return [`${variable}=${url.href}`, 'The password is shown only this once.']
}
