import { relations } from 'drizzle-orm'
import { addonCatalog, projectAddons } from './addons.js'
import { agentTools, agents } from './agents.js'
import { apiKeyWindows, apiKeys } from './api-keys.js'
import { billingPlans } from './billing-plans.js'
import { credentials } from './credentials.js'
import { creditEntries, credits } from './credits.js'
import { databaseConnectionLogs, databaseMetrics, databases } from './databases.js'
import { featureFlags, organizationFeatureFlags } from './feature-flags.js'
import { computeConfig, diskConfig } from './infrastructure.js'
import { invoices } from './invoices.js'
import { llms, organizationLlms } from './llms.js'
import { organizationMembers } from './members.js'
import { projectMembers } from './project-members.js'
import { projectMetrics } from './project-metrics.js'
import { projects } from './projects.js'
import { permissions, rolePermissions, roles } from './roles.js'
import { schedules } from './schedules.js'
import { subscriptions } from './subscriptions.js'
import { tasks } from './tasks.js'
import { organizationTools, tools } from './tools.js'
import { workflows } from './workflows.js'

// The relations between the tables, for `with` of Drizzle's `query`: both sides of each foreign key. Three kinds of key are left
// out: those to the organization, which every row has; those to people, who cannot be read in an organization's scope; and the
// relations from a catalog back to the tables that use it.

export const agentToolsRelations = relations(agentTools, ({ one }) => ({
  agent: one(agents, { fields: [agentTools.orgId, agentTools.agentId], references: [agents.orgId, agents.id] }),
  organizationTool: one(organizationTools, {
    fields: [agentTools.orgId, agentTools.organizationToolId],
    references: [organizationTools.orgId, organizationTools.id],
  }),
}))

export const agentsRelations = relations(agents, ({ one, many }) => ({
  project: one(projects, { fields: [agents.orgId, agents.projectId], references: [projects.orgId, projects.id] }),
  organizationLlm: one(organizationLlms, {
    fields: [agents.orgId, agents.organizationLlmId],
    references: [organizationLlms.orgId, organizationLlms.id],
  }),
  tasks: many(tasks),
  agentTools: many(agentTools),
}))

export const apiKeyWindowsRelations = relations(apiKeyWindows, ({ one }) => ({
  apiKey: one(apiKeys, {
    fields: [apiKeyWindows.orgId, apiKeyWindows.apiKeyId],
    references: [apiKeys.orgId, apiKeys.id],
  }),
}))

export const apiKeysRelations = relations(apiKeys, ({ one, many }) => ({
  member: one(organizationMembers, {
    fields: [apiKeys.orgId, apiKeys.userId],
    references: [organizationMembers.orgId, organizationMembers.userId],
  }),
  predecessor: one(apiKeys, {
    relationName: 'rotation',
    fields: [apiKeys.orgId, apiKeys.rotatedFrom],
    references: [apiKeys.orgId, apiKeys.id],
  }),
  successors: many(apiKeys, { relationName: 'rotation' }),
  windows: many(apiKeyWindows),
}))

export const computeConfigRelations = relations(computeConfig, ({ one }) => ({
  project: one(projects, {
    fields: [computeConfig.orgId, computeConfig.projectId],
    references: [projects.orgId, projects.id],
  }),
}))

export const credentialsRelations = relations(credentials, ({ one }) => ({
  project: one(projects, {
    fields: [credentials.orgId, credentials.projectId],
    references: [projects.orgId, projects.id],
  }),
}))

export const creditEntriesRelations = relations(creditEntries, ({ one }) => ({
  credit: one(credits, {
    fields: [creditEntries.orgId, creditEntries.creditId],
    references: [credits.orgId, credits.id],
  }),
}))

export const creditsRelations = relations(credits, ({ many }) => ({
  entries: many(creditEntries),
}))

export const databaseConnectionLogsRelations = relations(databaseConnectionLogs, ({ one }) => ({
  database: one(databases, {
    fields: [databaseConnectionLogs.orgId, databaseConnectionLogs.databaseId],
    references: [databases.orgId, databases.id],
  }),
  project: one(projects, {
    fields: [databaseConnectionLogs.orgId, databaseConnectionLogs.projectId],
    references: [projects.orgId, projects.id],
  }),
}))

export const databaseMetricsRelations = relations(databaseMetrics, ({ one }) => ({
  database: one(databases, {
    fields: [databaseMetrics.orgId, databaseMetrics.databaseId],
    references: [databases.orgId, databases.id],
  }),
}))

export const databasesRelations = relations(databases, ({ one, many }) => ({
  project: one(projects, { fields: [databases.orgId, databases.projectId], references: [projects.orgId, projects.id] }),
  metrics: many(databaseMetrics),
  connectionLogs: many(databaseConnectionLogs),
}))

export const diskConfigRelations = relations(diskConfig, ({ one }) => ({
  project: one(projects, {
    fields: [diskConfig.orgId, diskConfig.projectId],
    references: [projects.orgId, projects.id],
  }),
}))

export const invoicesRelations = relations(invoices, ({ one }) => ({
  subscription: one(subscriptions, {
    fields: [invoices.orgId, invoices.subscriptionId],
    references: [subscriptions.orgId, subscriptions.id],
  }),
}))

export const organizationFeatureFlagsRelations = relations(organizationFeatureFlags, ({ one }) => ({
  flag: one(featureFlags, { fields: [organizationFeatureFlags.flagId], references: [featureFlags.id] }),
}))

export const organizationLlmsRelations = relations(organizationLlms, ({ one, many }) => ({
  llm: one(llms, { fields: [organizationLlms.llmId], references: [llms.id] }),
  agents: many(agents),
}))

export const organizationMembersRelations = relations(organizationMembers, ({ one, many }) => ({
  heldRole: one(roles, {
    fields: [organizationMembers.orgId, organizationMembers.role],
    references: [roles.orgId, roles.key],
  }),
  apiKeys: many(apiKeys),
  projectMembers: many(projectMembers),
}))

export const organizationToolsRelations = relations(organizationTools, ({ one, many }) => ({
  tool: one(tools, { fields: [organizationTools.toolId], references: [tools.id] }),
  agentTools: many(agentTools),
}))

export const projectAddonsRelations = relations(projectAddons, ({ one }) => ({
  project: one(projects, {
    fields: [projectAddons.orgId, projectAddons.projectId],
    references: [projects.orgId, projects.id],
  }),
  addon: one(addonCatalog, { fields: [projectAddons.addonId], references: [addonCatalog.addonId] }),
}))

export const projectMembersRelations = relations(projectMembers, ({ one }) => ({
  project: one(projects, {
    fields: [projectMembers.orgId, projectMembers.projectId],
    references: [projects.orgId, projects.id],
  }),
  member: one(organizationMembers, {
    fields: [projectMembers.orgId, projectMembers.userId],
    references: [organizationMembers.orgId, organizationMembers.userId],
  }),
  heldRole: one(roles, { fields: [projectMembers.orgId, projectMembers.role], references: [roles.orgId, roles.key] }),
}))

export const projectMetricsRelations = relations(projectMetrics, ({ one }) => ({
  project: one(projects, {
    fields: [projectMetrics.orgId, projectMetrics.projectId],
    references: [projects.orgId, projects.id],
  }),
}))

export const projectsRelations = relations(projects, ({ one, many }) => ({
  computeConfig: one(computeConfig),
  credentials: one(credentials),
  diskConfig: one(diskConfig),
  addons: many(projectAddons),
  agents: many(agents),
  connectionLogs: many(databaseConnectionLogs),
  databases: many(databases),
  members: many(projectMembers),
  metrics: many(projectMetrics),
  workflows: many(workflows),
}))

export const rolePermissionsRelations = relations(rolePermissions, ({ one }) => ({
  role: one(roles, { fields: [rolePermissions.orgId, rolePermissions.roleKey], references: [roles.orgId, roles.key] }),
  permissionRow: one(permissions, { fields: [rolePermissions.permission], references: [permissions.key] }),
}))

export const rolesRelations = relations(roles, ({ many }) => ({
  members: many(organizationMembers),
  permissions: many(rolePermissions),
  projectMembers: many(projectMembers),
}))

export const schedulesRelations = relations(schedules, ({ one, many }) => ({
  workflow: one(workflows, {
    fields: [schedules.orgId, schedules.workflowId],
    references: [workflows.orgId, workflows.id],
  }),
  tasks: many(tasks),
}))

export const subscriptionsRelations = relations(subscriptions, ({ one, many }) => ({
  plan: one(billingPlans, { fields: [subscriptions.planId], references: [billingPlans.id] }),
  invoices: many(invoices),
}))

export const tasksRelations = relations(tasks, ({ one, many }) => ({
  workflow: one(workflows, { fields: [tasks.orgId, tasks.workflowId], references: [workflows.orgId, workflows.id] }),
  agent: one(agents, { fields: [tasks.orgId, tasks.agentId], references: [agents.orgId, agents.id] }),
  schedule: one(schedules, { fields: [tasks.orgId, tasks.scheduleId], references: [schedules.orgId, schedules.id] }),
  parent: one(tasks, {
    relationName: 'parent',
    fields: [tasks.orgId, tasks.parentId],
    references: [tasks.orgId, tasks.id],
  }),
  children: many(tasks, { relationName: 'parent' }),
}))

export const workflowsRelations = relations(workflows, ({ one, many }) => ({
  project: one(projects, { fields: [workflows.orgId, workflows.projectId], references: [projects.orgId, projects.id] }),
  schedules: many(schedules),
  tasks: many(tasks),
}))
