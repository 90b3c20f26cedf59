import { ConflictError, InvalidInputError, NotFoundError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import { assertMatches, assertSchema } from '../core/json-schemas.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { planOf } from '../core/statements/table-plan.js'
import { parseInput } from '../core/values.js'
import { agentTools } from '../schema/agents.js'
import type { JsonObject } from '../schema/shared/json.js'
import * as shape from '../schema/shared/shapes.js'
import {
  newOrganizationTool,
  type OrganizationTool,
  organizationTools,
  type Tool,
  type ToolConfig,
  toolConfiguration,
  toolToEnable,
  tools,
} from '../schema/tools.js'

export interface ToolRelations {
  /** The tool of the catalog, with its key and name. */
  readonly tool: Tool | null
}

const options = { permission: 'tools', includes: { tool: { one: tools, by: 'toolId' } } }

interface InCatalog {
  readonly toolId: string
  readonly inputSchema: JsonObject
  /** The organization's config, undefined where it is empty. */
  readonly stored: JsonObject | undefined
}

/** The tools that the organization has enabled, one row for each of the catalog. Agents get them by `org.agents.setTools`. */
export class Tools extends ScopedRepository<OrganizationTool, ToolRelations> {
  constructor(scope: Scope) {
    super(scope, organizationTools, options)
  }

  /**
   * Enables the tool that has that key in the catalog. The config must match the tool's JSON Schema; without one the stored config
   * stays, which is empty at first and else must still match. Throws InvalidInputError for a tool that is not in the catalog or not active
   * there.
   */
  enable(tool: string, config?: ToolConfig): Promise<OrganizationTool> {
    return this.atomically(async (inner) => {
      const given = parseInput(toolToEnable, { tool, config })
      const { toolId, inputSchema, stored } = await inner.inCatalog(given.tool)
      const wanted = given.config ?? stored
      if (wanted !== undefined) await assertConfig(inputSchema, wanted)
      const values = { toolId, enabled: true, ...(given.config !== undefined && { customConfig: given.config }) }
      return inner.putRow(newOrganizationTool, values, 'organization_tools_tool_key', { event: 'enable' })
    })
  }

  /** Replaces the config, which must match the tool's JSON Schema. */
  configure(id: string, config: ToolConfig): Promise<OrganizationTool> {
    return this.atomically(async (inner) => {
      const given = parseInput(toolConfiguration, { config })
      await assertConfig(await inner.schemaOf(parseId(id)), given.config)
      const managed = { customConfig: given.config }
      return inner.updateRow(shape.noInput, id, {}, { managed, event: 'configure' })
    })
  }

  /** Takes the tool from every agent that has it. Its config stays for when it is enabled again. */
  disable(id: string): Promise<OrganizationTool> {
    return this.atomically(async (inner) => {
      // The update waits for calls that are giving the tool to an agent, so that the delete finds what they have written.
      const row = await inner.updateRow(shape.noInput, id, {}, { managed: { enabled: false }, event: 'disable' })
      await inner.child(agentTools).deleteRows({ organizationToolId: id })
      return row
    })
  }

  private async inCatalog(key: string): Promise<InCatalog> {
    const statement = this.query('in the catalog', (table) => {
      const o = table.as('o')
      // A sub-select: without its condition on the organization, the outer join with the table itself ends the server process of a cluster.
      return `select t."id", t."input_schema", nullif(o."custom_config", '{}') from ${planOf(tools).sql} t
        left join (select o."tool_id", o."custom_config" from ${o.sql} where ${o.visible}) o on o."tool_id" = t."id"
        where t."key" = $2::text and t."active"`
    })
    const found = await this.run(
      statement,
      () => [key],
      ({ rows: [row] }) => row as [string, JsonObject, JsonObject | null] | undefined,
    )
    if (found === undefined) throw new InvalidInputError('tool', 'is not an active tool of the catalog')
    return { toolId: found[0], inputSchema: found[1], stored: found[2] ?? undefined }
  }

  private async schemaOf(id: string): Promise<JsonObject> {
    const statement = this.query('schema', (table) => {
      const o = table.as('o')
      return `select t."input_schema" from ${o.sql} join ${planOf(tools).sql} t on t."id" = o."tool_id"
        where ${o.visible} and o."id" = $2`
    })
    const found = await this.run(
      statement,
      () => [id],
      ({ rows: [row] }) => row?.[0] as JsonObject | undefined,
    )
    if (found === undefined) throw new NotFoundError(this.plan.resource)
    return found
  }
}

async function assertConfig(schema: JsonObject, config: JsonObject): Promise<void> {
  try {
    await assertSchema(schema, 'inputSchema')
  } catch (error) {
    // The catalog is not the caller's.
    if (!(error instanceof InvalidInputError)) throw error
    throw new ConflictError('tools', ['inputSchema'], `tools: the tool cannot be configured: ${error.message}`)
  }
  await assertMatches(schema, config, 'config')
}
