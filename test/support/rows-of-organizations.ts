export const rowsEach = 200

// What sorts by age, as the library's own ids do.
export function idOf(table: string, n: string): string {
  const prefix = Buffer.from(table.padEnd(4).slice(0, 4)).toString('hex')
  return `('${prefix}-0000-7000-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`
}

/** One of three who work in the organization. */
const person = `md5(o::text || n % 3)::uuid`
export const member = `md5(o::text || n)::uuid`
const some = (value: string, every: number): string => `case when n % ${every} = 0 then ${value} end`
const moment = `now() - n * interval '1 minute'`
// In every partition: of one without rows the server reads all.
const everyMonth = `now() + (n % 4) * interval '1 month' - n * interval '1 second'`
const oneOf = (...words: string[]): string => `(array['${words.join("', '")}'])[n % ${words.length} + 1]`

type Table = readonly [name: string, columns: readonly (readonly [name: string, value: string])[], rows: number]

/** What each table is filled with: `n` counts the rows of an organization, `o` is its id. */
export const tables: readonly Table[] = [
  [
    'roles',
    [
      ['id', idOf('role', 'n')],
      ['key', `'role-' || n`],
      ['name', `'Role ' || n`],
      ['applies_to', oneOf('organization', 'project', 'both')],
      ['created_at', moment],
      ['deleted_at', some('now()', 10)],
    ],
    rowsEach,
  ],
  [
    'role_permissions',
    [
      ['role_key', `'role-' || (n / 3 + 1)`],
      ['permission', oneOf('agents:read', 'tasks:read', 'tasks:write')],
    ],
    rowsEach * 2,
  ],
  [
    'organization_members',
    [
      ['id', idOf('member', 'n')],
      ['user_id', member],
      ['email', `'member-' || n || '@example.com'`],
      ['role', `'role-' || n`],
      ['status', oneOf('active', 'inactive')],
      ['created_at', moment],
      ['deleted_at', some('now()', 10)],
    ],
    rowsEach,
  ],
  [
    'api_keys',
    [
      ['id', idOf('key', 'n')],
      ['user_id', member],
      ['auth_epoch', '0'],
      ['name', `'key-' || n`],
      ['key_prefix', `'tk_live_' || n`],
      ['key_hash', 'sha256(n::text::bytea)'],
      ['pepper_id', `'test'`],
      ['last_four', `'last'`],
      ['created_at', moment],
    ],
    rowsEach,
  ],
  [
    'organization_invitations',
    [
      ['id', idOf('invitation', 'n')],
      ['email', `'invited-' || n || '@example.com'`],
      ['role', `'role-' || n`],
      ['token_hash', 'sha256(n::text::bytea)'],
      ['pepper_id', `'test'`],
      ['expires_at', `now() + interval '7 days'`],
      ['accepted_at', some('now()', 2)],
      ['created_at', moment],
    ],
    rowsEach,
  ],
  [
    'projects',
    [
      ['id', idOf('project', 'n')],
      ['name', `'Project ' || n`],
      ['slug', `'project-' || n`],
      ['ref', `'project-' || n`],
      ['status', oneOf('active', 'paused', 'inactive')],
      ['region', some(oneOf('fra', 'iad'), 2)],
      ['database_host', some(`'db-' || n`, 2)],
      ['database_port', some('5432', 2)],
      ['database_name', some(`'main'`, 2)],
      ['database_user', some(`'app'`, 2)],
      ['created_by', person],
      ['created_at', moment],
      ['deleted_at', some('now()', 10)],
    ],
    rowsEach,
  ],
  [
    'org_keys',
    [
      ['id', idOf('data key', 'n')],
      ['kek_id', `'test'`],
      ['wrapped', 'sha256(n::text::bytea)'],
      ['state', `case when n = 1 then 'active' else 'decrypt_only' end`],
      ['created_at', moment],
    ],
    rowsEach,
  ],
  [
    'credentials',
    [
      ['id', idOf('credentials', 'n')],
      ['project_id', idOf('project', 'n')],
      ['created_at', moment],
    ],
    rowsEach,
  ],
  [
    'disk_config',
    [
      ['id', idOf('disk', 'n')],
      ['project_id', idOf('project', 'n')],
      ['size_gb', '8'],
      ['io_budget', '100'],
      ['autoscale_growth_percent', '10'],
    ],
    rowsEach,
  ],
  [
    'compute_config',
    [
      ['id', idOf('compute', 'n')],
      ['project_id', idOf('project', 'n')],
      ['instance_size', oneOf('nano', 'small', 'large')],
      ['cpu_cores', '2'],
      ['memory_gb', '4'],
    ],
    rowsEach,
  ],
  [
    'databases',
    [
      ['id', idOf('base', 'n')],
      ['project_id', idOf('project', 'n')],
      ['name', `'main-' || n`],
      ['type', oneOf('postgresql', 'mongodb', 'redis')],
      ['health_checked_at', some(moment, 2)],
      ['created_at', moment],
      ['deleted_at', some('now()', 10)],
    ],
    rowsEach,
  ],
  [
    'database_metrics',
    [
      ['id', idOf('measured', 'n')],
      ['database_id', idOf('base', '(n % 200 + 1)')],
      ['metric_type', oneOf('cpu', 'memory')],
      ['value', 'n'],
      ['recorded_at', everyMonth],
    ],
    rowsEach * 4,
  ],
  [
    'database_connection_logs',
    [
      ['id', idOf('logged', 'n')],
      ['database_id', idOf('base', '(n % 200 + 1)')],
      ['project_id', idOf('project', '(n % 200 + 1)')],
      ['event_type', oneOf('opened', 'closed')],
      ['recorded_at', everyMonth],
    ],
    rowsEach * 4,
  ],
  [
    'project_metrics',
    [
      ['id', idOf('metric', 'n')],
      ['project_id', idOf('project', '(n % 200 + 1)')],
      ['cpu_usage', 'n % 100'],
      ['recorded_at', everyMonth],
    ],
    rowsEach * 4,
  ],
  [
    'project_addons',
    [
      ['id', idOf('addon', 'n')],
      ['project_id', idOf('project', 'n')],
      ['addon_id', `'contract_addon'`],
      ['price_per_unit', '5.25'],
      ['currency', `'USD'`],
    ],
    rowsEach,
  ],
  [
    'agents',
    [
      ['id', idOf('agent', 'n')],
      ['name', `'Agent ' || n`],
      ['username', `'agent-' || n`],
      ['instructions', `'Be brief.'`],
      ['status', oneOf('draft', 'active', 'paused')],
      ['project_id', some(idOf('project', 'n'), 2)],
      ['model', oneOf('small', 'large')],
      ['created_by', person],
      ['created_at', moment],
      ['deleted_at', some('now()', 10)],
    ],
    rowsEach,
  ],
  [
    'workflows',
    [
      ['id', idOf('workflow', 'n')],
      ['name', `'Workflow ' || n`],
      ['slug', `'workflow-' || n`],
      ['description', `'What is to be done'`],
      ['status', oneOf('draft', 'active', 'archived')],
      ['project_id', some(idOf('project', 'n'), 2)],
      ['created_by', person],
      ['created_at', moment],
      ['deleted_at', some('now()', 10)],
    ],
    rowsEach,
  ],
  [
    'schedules',
    [
      ['id', idOf('schedule', 'n')],
      ['workflow_id', idOf('workflow', '(n % 200 + 1)')],
      ['name', `'Schedule ' || n`],
      ['cron', `'0 * * * *'`],
      ['timezone', `'UTC'`],
      ['enabled', 'n % 5 <> 0'],
      ['missed_runs', oneOf('skip', 'run_once')],
      ['next_run_at', `now() + (scattered - 100) * interval '1 minute'`],
      ['last_run_at', some(moment, 2)],
      ['created_at', moment],
      ['deleted_at', some('now()', 10)],
    ],
    rowsEach,
  ],
  [
    'tasks',
    [
      ['id', idOf('task', 'n')],
      ['kind', oneOf('mail', 'call', 'report', 'invoice')],
      ['status', `case when n % 10 = 0 then 'queued' when n % 50 = 1 then 'running' else 'succeeded' end`],
      ['priority', 'n % 5'],
      ['workflow_id', some(idOf('workflow', '(n % 200 + 1)'), 2)],
      ['agent_id', some(idOf('agent', '(n % 200 + 1)'), 3)],
      ['schedule_id', some(idOf('schedule', '(n % 200 + 1)'), 4)],
      ['scheduled_for', some(moment, 4)],
      ['parent_id', some(idOf('task', '(n / 2)'), 5)],
      ['run_at', moment],
      ['lease_owner', some(`'worker'`, 3)],
      ['lease_token', some(idOf('lease', 'n'), 3)],
      ['lease_expires_at', `case when n % 50 = 1 then now() + (scattered - 100) * interval '1 minute' end`],
      ['started_at', some(moment, 2)],
      ['finished_at', some(moment, 2)],
      ['dedupe_key', some(`'key-' || n`, 4)],
      ['created_by', person],
      ['created_at', moment],
    ],
    rowsEach * 3,
  ],
  [
    'project_members',
    [
      ['id', idOf('project member', 'n')],
      ['project_id', idOf('project', 'n')],
      ['user_id', member],
      ['role', `'role-' || n`],
      ['created_at', moment],
    ],
    rowsEach,
  ],
  [
    'organization_tools',
    [
      ['id', idOf('tool', 'n')],
      ['tool_id', idOf('tool', 'n')],
    ],
    rowsEach,
  ],
  [
    'organization_llms',
    [
      ['id', idOf('llm', 'n')],
      ['llm_id', idOf('llm', 'n')],
    ],
    rowsEach,
  ],
  [
    'agent_tools',
    [
      ['agent_id', idOf('agent', '(n / 3 + 1)')],
      ['organization_tool_id', idOf('tool', '(n % 3 + 1)')],
    ],
    rowsEach * 2,
  ],
  [
    'audit_logs',
    [
      ['id', idOf('entry', 'n')],
      ['actor_kind', oneOf('user', 'system')],
      ['actor_id', some(person, 2)],
      ['event_type', oneOf('agents.update', 'tasks.enqueue', 'report.sent')],
      ['resource_type', oneOf('agents', 'tasks')],
      ['seq', some('n', 2)],
      ['created_at', everyMonth],
    ],
    rowsEach * 4,
  ],
  [
    'usage_events',
    [
      ['id', idOf('event', 'n')],
      ['idempotency_key', `'key-' || n`],
      ['metric_type', oneOf('mails', 'calls', 'gigabytes')],
      ['quantity', 'n'],
      ['project_id', some(idOf('project', '(n % 200 + 1)'), 2)],
      ['occurred_at', `now() - n * interval '6 hours'`],
      ['body_hash', 'sha256(n::text::bytea)'],
    ],
    rowsEach * 2,
  ],
  [
    'usage_metrics',
    [
      ['id', idOf('metric', 'n')],
      ['metric_type', oneOf('mails', 'calls', 'gigabytes')],
      ['metric_value', 'n'],
      ['period_start', `date_trunc('day', now(), 'UTC') - n * interval '24 hours'`],
      ['period_end', `date_trunc('day', now(), 'UTC') - (n - 1) * interval '24 hours'`],
    ],
    rowsEach,
  ],
  [
    'credits',
    [
      ['id', idOf('credit', 'n')],
      ['amount', '10'],
      ['remaining', 'n % 10'],
      ['currency', oneOf('EUR', 'USD')],
      ['priority', 'n % 3'],
      ['expires_at', some(`now() + n * interval '1 day'`, 2)],
    ],
    rowsEach,
  ],
  [
    'credit_entries',
    [
      ['id', idOf('entry', 'n')],
      ['credit_id', idOf('credit', '(n % 200 + 1)')],
      ['kind', oneOf('grant', 'spend', 'void')],
      ['amount', 'n'],
      ['reference', `'invoice-' || n`],
    ],
    rowsEach * 2,
  ],
]
