import { ConflictError, InvalidInputError, NotFoundError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { parseInput } from '../core/values.js'
import { agents } from '../schema/agents.js'
import {
  type Llm,
  type LlmConfiguration,
  llmConfiguration,
  llms,
  newOrganizationLlm,
  type OrganizationLlm,
  organizationLlmKey,
  organizationLlmPatch,
  organizationLlms,
} from '../schema/llms.js'
import { referencesTo } from '../schema/references.js'
import type { Secret } from '../schema/shared/secret.js'
import { planOf } from '../core/statements/table-plan.js'

export interface LlmRelations {
  /** The language model of the catalog, with its key and name. */
  readonly llm: Llm | null
}

const options = {
  permission: 'llms',
  references: referencesTo(organizationLlms, [agents]),
  includes: { llm: { one: llms, by: 'llmId' } },
}

type Configuration = ReturnType<typeof readConfiguration>

/** A language model of the catalog, and the organization's row for it. */
interface Found {
  readonly llmId: string
  readonly offered: readonly string[]
  readonly rowId: string | undefined
}

/**
 * The language models that the organization has configured, one row for each of the catalog. Keys are stored encrypted, and only
 * `reveal` gives them.
 */
export class Llms extends ScopedRepository<OrganizationLlm, LlmRelations> {
  constructor(scope: Scope) {
    super(scope, organizationLlms, options)
  }

  /**
   * Configures the language model that has that key in the catalog, or changes its configuration: what is not given stays. The default
   * model must be one of the catalog's or of `models`. Throws InvalidInputError for one that is not in the catalog or not active there.
   */
  configure(values: LlmConfiguration): Promise<OrganizationLlm> {
    return this.atomically(async (inner) => {
      const given = readConfiguration(values)
      try {
        return await inner.atomically((attempt) => attempt.put(given))
      } catch (error) {
        // Another call has made or removed the row meanwhile.
        const isMade = error instanceof ConflictError && error.fields.includes('llmId')
        if (!isMade && !(error instanceof NotFoundError)) throw error
        return inner.put(given)
      }
    })
  }

  /** Replaces the key. It is used from the next call on. */
  rotateKey(id: string, apiKey: string | Secret): Query<OrganizationLlm> {
    return this.updateRow(organizationLlmKey, id, { apiKey }, { event: 'rotateKey' })
  }

  /** The key, undefined where none is stored. Needs `llms:reveal`. */
  reveal(id: string): Promise<Secret | undefined> {
    const revealed = this.revealRow(id, ['apiKey'])
    return this.scope.track(revealed.then(({ apiKey }) => apiKey))
  }

  /** Deletes the configuration and its key for good. Agents that use it stay, without a language model. */
  remove(id: string): Query<OrganizationLlm> {
    return this.purgeRow(id)
  }

  private async put({ llm, ...given }: Configuration): Promise<OrganizationLlm> {
    const { llmId, offered, rowId } = await this.lookUp(llm)
    if (rowId === undefined) {
      assertOffered(given, { offered })
      return this.insertRow(newOrganizationLlm, { ...given, llmId }, { event: 'configure' })
    }
    const current = await this.lockRow(rowId)
    assertOffered(given, { offered, current })
    if (Object.keys(given).length === 0) return current
    return this.updateRow(organizationLlmPatch, rowId, given, { event: 'configure' })
  }

  private async lookUp(key: string): Promise<Found> {
    const statement = this.query('in the catalog', (table) => {
      const c = table.as('c')
      const { sql } = planOf(llms)
      // A sub-select: without its condition on the organization, the outer join with the table itself ends the server process of a cluster.
      return `select l."id", l."models", c."id" from ${sql} l
        left join (select c."id", c."llm_id" from ${c.sql} where ${c.visible}) c on c."llm_id" = l."id"
        where l."key" = $2::text and l."active"`
    })
    const found = await this.run(
      statement,
      () => [key],
      ({ rows: [row] }) => row as [string, readonly string[], string | null] | undefined,
    )
    if (found === undefined) throw new InvalidInputError('llm', 'is not an active language model of the catalog')
    return { llmId: found[0], offered: found[1], rowId: found[2] ?? undefined }
  }
}

function readConfiguration(values: unknown) {
  const parsed = parseInput(llmConfiguration, values)
  return Object.fromEntries(Object.entries(parsed).filter(([, value]) => value !== undefined)) as typeof parsed
}

/** Checks the default model as it will be after the change. */
function assertOffered(
  given: Omit<Configuration, 'llm'>,
  { offered, current }: { offered: readonly string[]; current?: OrganizationLlm },
): void {
  const { defaultModel = current?.defaultModel ?? null, models = current?.models ?? {} } = given
  if (defaultModel === null || offered.includes(defaultModel) || Object.hasOwn(models, defaultModel)) return
  throw new InvalidInputError('defaultModel', 'is neither a model of the catalog nor one of `models`')
}
