import { and, asc, eq, isNull } from 'drizzle-orm'
import type { CreatedApiKey } from '../operations/manage-api-keys.js'
import type { KeyedFlagOverride } from '../operations/flags.js'
import type { SentInvitation } from '../operations/manage-invitations.js'
import type { NewServiceMember } from '../operations/manage-members.js'
import type { NewCustomRole } from '../operations/manage-roles.js'
import type { Org } from '../org.js'
import type { Agent, AgentTool, NewAgent } from '../schema/agents.js'
import type { NewApiKey } from '../schema/api-keys.js'
import type { AuditEntry, NewAuditEntry } from '../schema/audit-logs.js'
import type { CustomerProfile, NewCustomerProfile, NewTaxId, TaxId } from '../schema/billing-profiles.js'
import type { Credit, NewCredit } from '../schema/credits.js'
import type { FlagOverrideValues } from '../schema/feature-flags.js'
import type { NewInvitation } from '../schema/invitations.js'
import type { Invoice, NewInvoice } from '../schema/invoices.js'
import { type LlmConfiguration, llms, type OrganizationLlm, organizationLlms } from '../schema/llms.js'
import type { Member } from '../schema/members.js'
import type { NewPaymentMethod, PaymentMethod } from '../schema/payment-methods.js'
import type { NewProjectMember, ProjectMember } from '../schema/project-members.js'
import type { Role } from '../schema/roles.js'
import type { NewSchedule, Schedule } from '../schema/schedules.js'
import type { NewTask, Task } from '../schema/tasks.js'
import { type OrganizationTool, organizationTools, type ToolConfig, tools } from '../schema/tools.js'
import type { NewUsageEvent, UsageEvent } from '../schema/usage.js'
import type { NewWorkflow, Workflow } from '../schema/workflows.js'
import { type CatalogEntry, type Given, nextNumber, readGiven, withUnused } from './factory-values.js'
import { ProjectFactories, titleOf } from './project-factories.js'

/** A flag of the platform, with what the organization sets it to. */
export interface FlagChoice extends FlagOverrideValues {
  readonly key: string
}

/** A tool of the catalog, with the organization's config. */
export interface ToolChoice {
  readonly tool: string
  readonly config: ToolConfig
}

/** The tool that an agent may call. */
export interface AgentToolLink extends Pick<AgentTool, 'agentId' | 'organizationToolId'> {}

/**
 * Makes valid rows through the repositories of an organization. What is given wins; the rest is filled in, with names that count up, and
 * a row that another one needs is made too.
 */
export class Factories extends ProjectFactories {
  /** `agent-1`, a draft, by `org.agents.create`. */
  async agent(values?: Given<NewAgent>): Promise<Agent> {
    const username = this.next('agent')
    return this.org.agents.create({ name: titleOf(username), username, ...readGiven(values) })
  }

  /** Gives an agent one more tool, by `org.agents.setTools`. Makes the agent and the tool where they are not given. */
  async agentTool(values?: Given<AgentToolLink>): Promise<AgentToolLink> {
    const given = readGiven(values, ['agentId', 'organizationToolId'])
    const { agentId = (await this.agent()).id } = given
    const { organizationToolId = (await this.tool()).id } = given
    await this.org.agents.setTools(agentId, [...(await this.org.agents.tools(agentId)), organizationToolId])
    return { agentId, organizationToolId }
  }

  /** A key without scopes, by `org.apiKeys.create`. Without `userId` it belongs to a new service member. */
  async apiKey(values?: Given<NewApiKey>): Promise<CreatedApiKey> {
    const name = this.next('key')
    const { userId = (await this.service()).userId, ...given } = readGiven(values)
    return this.org.apiKeys.create({ userId, name, ...given })
  }

  /** An event of the application, by `org.audit.record`. */
  async auditEntry(values?: Given<NewAuditEntry>): Promise<AuditEntry> {
    return this.org.audit.record({ eventType: 'test.happened', ...readGiven(values) })
  }

  /** Replaces the recipient of the invoices, by `org.billingProfile.set`. */
  async billingProfile(values?: Given<NewCustomerProfile>): Promise<CustomerProfile> {
    const usual = { companyName: titleOf(this.next('company')), line1: '1 Main Street', city: 'Berlin', country: 'DE' }
    return this.org.billingProfile.set({ ...usual, ...readGiven(values) })
  }

  /** 100.00 USD that do not expire, by `org.credits.grant`. */
  async credit(values?: Given<NewCredit>): Promise<Credit> {
    return this.org.credits.grant({ amount: '100.00', currency: 'USD', ...readGiven(values) })
  }

  /** Switches a flag on, by `org.flags.override`: without `key` the first one that has no override here. */
  async flagOverride(values?: Given<FlagChoice>): Promise<KeyedFlagOverride> {
    const { key, ...given } = readGiven(values)
    const override = (flag: CatalogEntry) => this.org.flags.override(flag.key, { enabled: true, ...given })
    return key === undefined ? withUnused('key', this.org.id, () => this.unusedFlags(), override) : override({ key })
  }

  /** Invites `guest-1` as a `member`, by `org.invitations.create`. */
  async invitation(values?: Given<NewInvitation>): Promise<SentInvitation> {
    const email = `${this.next('guest')}@example.com`
    return this.org.invitations.create({ email, role: 'member', ...readGiven(values) })
  }

  /** A draft in USD with one line of 10.00, by `org.invoices.create`. */
  async invoice(values?: Given<NewInvoice>): Promise<Invoice> {
    const lines = [{ description: titleOf(this.next('position')), quantity: '1', unitAmount: '10.00' }]
    return this.org.invoices.create({ currency: 'USD', lines, ...readGiven(values) })
  }

  /** Without `llm` the first language model of the catalog that is not configured here, by `org.llms.configure`. */
  async llm(values?: Given<LlmConfiguration>): Promise<OrganizationLlm> {
    const { llm, ...given } = readGiven(values)
    const configure = ({ key }: CatalogEntry) => this.org.llms.configure({ llm: key, ...given })
    return llm === undefined
      ? withUnused('llm', this.org.id, () => this.unusedLlms(), configure)
      : configure({ key: llm })
  }

  /** A card, by `org.paymentMethods.add`. */
  async paymentMethod(values?: Given<NewPaymentMethod>): Promise<PaymentMethod> {
    const card = { type: 'card', cardBrand: 'visa', cardLast4: '4242', cardExpMonth: 12, cardExpYear: 2099 }
    const stripePaymentMethodId = `pm_${nextNumber(this.org, 'payment method')}`
    return this.org.paymentMethods.add({ stripePaymentMethodId, ...card, ...readGiven(values) })
  }

  /** A `developer` of a project, by `org.projects.members.add`. Without `userId` it is a new service member. */
  async projectMember(values?: Given<NewProjectMember>): Promise<ProjectMember> {
    const { projectId = await this.newProjectId(), ...given } = readGiven(values)
    const { userId = (await this.service()).userId } = given
    return this.org.projects.members.add(projectId, { role: 'developer', ...given, userId })
  }

  /** `role_1`, without permissions, by `org.roles.create`. */
  async role(values?: Given<NewCustomRole>): Promise<Role> {
    const key = this.next('role')
    return this.org.roles.create({ key: key.replace('-', '_'), name: titleOf(key), ...readGiven(values) })
  }

  /** Every day at six in UTC, by `org.schedules.create`. Without `workflowId` it makes a workflow. */
  async schedule(values?: Given<NewSchedule>): Promise<Schedule> {
    const name = titleOf(this.next('schedule'))
    const { workflowId = (await this.workflow()).id, ...given } = readGiven(values)
    return this.org.schedules.create({ workflowId, name, cron: '0 6 * * *', timezone: 'UTC', ...given })
  }

  /** A member that is no person, with the role `member`, by `org.members.addService`. For a person: `addMember`. */
  async service(values?: Given<NewServiceMember>): Promise<Member> {
    return this.org.members.addService({ name: titleOf(this.next('service')), role: 'member', ...readGiven(values) })
  }

  /** A queued task, by `org.tasks.enqueue`. Without `workflowId` it makes a workflow; null is a task without one. */
  async task(values?: Given<NewTask>): Promise<Task> {
    const kind = this.next('task')
    const { workflowId = (await this.workflow()).id, ...given } = readGiven(values)
    return this.org.tasks.enqueue({ workflowId, kind, ...given })
  }

  /** An unverified number, by `org.taxIds.add`. */
  async taxId(values?: Given<NewTaxId>): Promise<TaxId> {
    const value = `DE${String(nextNumber(this.org, 'tax id')).padStart(9, '0')}`
    return this.org.taxIds.add({ type: 'eu_vat', value, country: 'DE', ...readGiven(values) })
  }

  /** Without `tool` the first tool of the catalog that was not enabled here, by `org.tools.enable`. */
  async tool(values?: Given<ToolChoice>): Promise<OrganizationTool> {
    const { tool, config } = readGiven(values, ['tool', 'config'])
    const enable = ({ key }: CatalogEntry) => this.org.tools.enable(key, config)
    return tool === undefined
      ? withUnused('tool', this.org.id, () => this.unusedTools(), enable)
      : enable({ key: tool })
  }

  /** One unit of bandwidth, used now, by `org.usage.record`. */
  async usageEvent(values?: Given<NewUsageEvent>): Promise<UsageEvent> {
    const event = { key: this.next('usage'), metric: 'bandwidth_gb', quantity: '1', at: new Date() }
    return this.org.usage.record({ ...event, ...readGiven(values) })
  }

  /** `workflow-1`, a draft, by `org.workflows.create`. */
  async workflow(values?: Given<NewWorkflow>): Promise<Workflow> {
    const slug = this.next('workflow')
    return this.org.workflows.create({ name: titleOf(slug), slug, ...readGiven(values) })
  }

  private async unusedFlags(): Promise<CatalogEntry[]> {
    const used = new Set((await this.org.flags.overrides()).map(({ flagKey }) => flagKey))
    const known = Object.keys(await this.org.flags.evaluateAll({ strict: true })).sort()
    return known.filter((key) => !used.has(key)).map((key) => ({ key }))
  }

  private async unusedLlms(): Promise<CatalogEntry[]> {
    return this.org.db
      .select({ key: llms.key })
      .from(llms)
      .leftJoin(organizationLlms, eq(organizationLlms.llmId, llms.id))
      .where(and(eq(llms.active, true), isNull(organizationLlms.id)))
      .orderBy(asc(llms.key))
  }

  private async unusedTools(): Promise<CatalogEntry[]> {
    return this.org.db
      .select({ key: tools.key })
      .from(tools)
      .leftJoin(organizationTools, eq(organizationTools.toolId, tools.id))
      .where(and(eq(tools.active, true), isNull(organizationTools.id)))
      .orderBy(asc(tools.key))
  }
}

/**
 * The factories of an organization: `const make = factories(org)`, then `await make.task({ priority: 5 })`. The names count up in the
 * organization for as long as the process runs.
 */
export const factories = (org: Org): Factories => new Factories(org)
