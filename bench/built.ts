import type * as keyring from '../src/encryption/keyring.js'
import type * as secrets from '../src/encryption/secrets.js'
import type * as ids from '../src/core/ids.js'
import type * as rules from '../src/core/rules.js'
import type * as directScope from '../src/core/scopes/direct-scope.js'
import type * as nodePostgres from '../src/database/node-postgres.js'
import type * as library from '../src/index.js'
import type * as agentRepository from '../src/repositories/agents.js'
import type * as auditing from '../src/operations/audit-trail.js'
import type * as taskRepository from '../src/repositories/tasks.js'
import type * as schema from '../src/schema/index.js'

// Measures the compiled code. tsx would set the name of each function of src when it is created: microseconds of a hot call.
const built = async (file: string): Promise<unknown> => import(new URL(`../dist/${file}`, import.meta.url).href)

export const { openTenancy, ScopedRepository } = (await built('index.js')) as typeof library
export const { newTask, tasks } = (await built('schema/index.js')) as typeof schema
export const { newId, parseOrgId } = (await built('core/ids.js')) as typeof ids
export const { DirectScope } = (await built('core/scopes/direct-scope.js')) as typeof directScope
export const { trusted } = (await built('core/rules.js')) as typeof rules
export const { openNodePostgres } = (await built('database/node-postgres.js')) as typeof nodePostgres
export const { Agents } = (await built('repositories/agents.js')) as typeof agentRepository
export const { auditTrail } = (await built('operations/audit-trail.js')) as typeof auditing
export const { Tasks } = (await built('repositories/tasks.js')) as typeof taskRepository
export const { passingKeyring } = (await built('encryption/keyring.js')) as typeof keyring
export const { secretsOf } = (await built('encryption/secrets.js')) as typeof secrets
