import type { Session } from '../../src/database/session.js'

/** SQL text and the name of its object. Both are the same on every version and on PGlite. */
export interface Piece {
  readonly object: string
  readonly text: string
}

export interface TableHead {
  readonly object: string
  readonly unlogged: boolean
  readonly rowSecurity: boolean
  readonly forced: boolean
  readonly partitionedBy: string | null
  readonly options: string | null
}

export interface Catalog {
  readonly schemas: readonly Piece[]
  readonly types: readonly Piece[]
  readonly sequences: readonly Piece[]
  readonly functions: readonly Piece[]
  readonly tables: readonly TableHead[]
  readonly views: readonly Piece[]
  /** In the order of the table. */
  readonly columns: readonly Piece[]
  readonly constraints: readonly Piece[]
  readonly indexes: readonly Piece[]
  readonly policies: readonly Piece[]
  readonly triggers: readonly Piece[]
  readonly grants: readonly Piece[]
  readonly comments: readonly Piece[]
}

export interface CatalogChoice {
  readonly schemas: readonly string[]
  /** The roles to read grants of, beside PUBLIC. Default: the two roles of the library. */
  readonly roles?: readonly string[]
}

/**
 * Reads the catalog with queries on pg_catalog only, because an embedded Postgres has no pg_dump. Leaves out what may differ
 * between two databases with the same migrations: owners, partitions, objects of extensions, NOT NULL as a constraint (18 lists it,
 * 15 does not; the columns show it), and the privilege MAINTAIN. The session must not be in a transaction.
 */
export async function readCatalog(session: Session, { schemas, roles }: CatalogChoice): Promise<Catalog> {
  // pg_get_...def() qualifies only names that the search path does not reach.
  await session.query('begin isolation level repeatable read read only')
  try {
    await session.query('set local search_path = pg_catalog')
    const pieces = (text: string) => session.query<Piece>(text, [schemas])
    const granted = [schemas, roles ?? ['tenantry_app', 'tenantry_system']]
    return {
      schemas: await pieces(schemaNames),
      types: await pieces(types),
      sequences: await pieces(sequences),
      functions: await pieces(functions),
      tables: await session.query<TableHead>(tables, [schemas]),
      views: await pieces(views),
      columns: await pieces(columns),
      constraints: await pieces(constraints),
      indexes: await pieces(indexes),
      policies: await pieces(policies),
      triggers: await pieces(triggers),
      grants: [
        ...(await session.query<Piece>(objectGrants, granted)),
        ...(await session.query<Piece>(columnGrants, granted)),
      ],
      comments: await pieces(comments),
    }
  } finally {
    await session.query('rollback')
  }
}

const own = (catalog: string, oid: string) => `not exists (
  select from pg_depend member
  where member.classid = '${catalog}'::regclass and member.objid = ${oid} and member.deptype = 'e')`

const relationName = "format('%I.%I', namespace.nspname, class.relname)"
const relations = (kinds: string) => `
  pg_class class join pg_namespace namespace on namespace.oid = class.relnamespace
    and namespace.nspname = any($1) and class.relkind in (${kinds}) and not class.relispartition
    and ${own('pg_class', 'class.oid')}`
const realTables = relations("'r', 'p'")

const functionName =
  "format('%I.%I(%s)', namespace.nspname, proc.proname, pg_get_function_identity_arguments(proc.oid))"
const procs = `
  pg_proc proc join pg_namespace namespace on namespace.oid = proc.pronamespace
    and namespace.nspname = any($1) and ${own('pg_proc', 'proc.oid')}`

const schemaNames = `
  select quote_ident(nspname) as object, format('CREATE SCHEMA %I;', nspname) as text from pg_namespace where nspname = any($1)`

const types = `
  select format('%I.%I', namespace.nspname, type.typname) as object,
    case type.typtype
      when 'e' then format('CREATE TYPE %I.%I AS ENUM (%s);', namespace.nspname, type.typname, (
        select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = type.oid))
      when 'd' then format('CREATE DOMAIN %I.%I AS %s%s%s%s;', namespace.nspname, type.typname,
        format_type(type.typbasetype, type.typtypmod), case when type.typnotnull then ' NOT NULL' end,
        ' DEFAULT ' || type.typdefault, (
          select string_agg(format(' CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)), '' order by conname collate "C")
          from pg_constraint where contypid = type.oid and contype <> 'n'))
      else format('CREATE TYPE %I.%I AS (%s);', namespace.nspname, type.typname, (
        select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
        from pg_attribute where attrelid = type.typrelid and attnum > 0 and not attisdropped))
    end as text
  from pg_type type join pg_namespace namespace on namespace.oid = type.typnamespace
  left join pg_class class on class.oid = type.typrelid
  where namespace.nspname = any($1) and (type.typtype in ('e', 'd') or class.relkind = 'c') and ${own('pg_type', 'type.oid')}`

// Includes those of identity columns, which have rights of their own.
const sequences = `
  select ${relationName} as object,
    format('CREATE SEQUENCE %s AS %s INCREMENT %s MINVALUE %s MAXVALUE %s START %s CACHE %s%s;', ${relationName},
      format_type(sequence.seqtypid, null), sequence.seqincrement, sequence.seqmin, sequence.seqmax, sequence.seqstart,
      sequence.seqcache, case when sequence.seqcycle then ' CYCLE' end) as text
  from ${relations("'S'")} join pg_sequence sequence on sequence.seqrelid = class.oid`

// pg_get_functiondef does not support aggregates.
const functions = `
  select ${functionName} as object,
    case when proc.prokind = 'a' then format('-- AGGREGATE %s', ${functionName})
      else rtrim(pg_get_functiondef(proc.oid), E'\\n') || ';' end as text
  from ${procs}`

const tables = `
  select ${relationName} as object, class.relpersistence = 'u' as unlogged, class.relrowsecurity as "rowSecurity",
    class.relforcerowsecurity as forced, pg_get_partkeydef(class.oid) as "partitionedBy",
    array_to_string(class.reloptions, ', ') as options
  from ${realTables}`

const views = `
  select ${relationName} as object,
    format('CREATE %sVIEW %s%s AS%s', case class.relkind when 'm' then 'MATERIALIZED ' end, ${relationName},
      ' WITH (' || array_to_string(class.reloptions, ', ') || ')', E'\\n' || pg_get_viewdef(class.oid)) as text
  from ${relations("'v', 'm'")}`

const columns = `
  select ${relationName} as object, concat_ws(' ', quote_ident(attribute.attname),
    format_type(attribute.atttypid, attribute.atttypmod),
    case when attribute.attcollation <> type.typcollation then (
      select format('COLLATE %I', collname) from pg_collation where oid = attribute.attcollation) end,
    case when attribute.attnotnull then 'NOT NULL' end,
    case attribute.attidentity when 'a' then 'GENERATED ALWAYS AS IDENTITY' when 'd' then 'GENERATED BY DEFAULT AS IDENTITY' end,
    case attribute.attgenerated
      when '' then 'DEFAULT ' || pg_get_expr(value.adbin, value.adrelid)
      when 's' then format('GENERATED ALWAYS AS (%s) STORED', pg_get_expr(value.adbin, value.adrelid))
      else format('GENERATED ALWAYS AS (%s) VIRTUAL', pg_get_expr(value.adbin, value.adrelid)) end) as text
  from ${realTables}
  join pg_attribute attribute on attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
  join pg_type type on type.oid = attribute.atttypid
  left join pg_attrdef value on value.adrelid = class.oid and value.adnum = attribute.attnum
  order by attribute.attnum`

// A foreign key to a partitioned table has one more row for each of its partitions.
const constraints = `
  select ${relationName} as object, format('CONSTRAINT %I %s', con.conname, pg_get_constraintdef(con.oid)) as text
  from ${realTables} join pg_constraint con on con.conrelid = class.oid
  where con.contype in ('p', 'u', 'f', 'c', 'x') and con.conparentid = 0
  order by position(con.contype::text in 'pufcx'), con.conname collate "C"`

const indexes = `
  select ${relationName} as object,
    pg_get_indexdef(index.indexrelid) || ';' || case when index.indisvalid then '' else ' -- INVALID' end as text
  from ${relations("'r', 'p', 'm'")} join pg_index index on index.indrelid = class.oid
  where not exists (select from pg_constraint con where con.conindid = index.indexrelid and con.contype in ('p', 'u', 'x'))`

const policies = `
  select ${relationName} as object, concat_ws(' ', format('CREATE POLICY %I ON %s', policy.polname, ${relationName}),
    case when not policy.polpermissive then 'AS RESTRICTIVE' end,
    case policy.polcmd when 'r' then 'FOR SELECT' when 'a' then 'FOR INSERT' when 'w' then 'FOR UPDATE' when 'd' then 'FOR DELETE' end,
    'TO ' || (
      select string_agg(coalesce(quote_ident(role.rolname), 'PUBLIC'), ', ' order by role.rolname collate "C")
      from unnest(policy.polroles) named(oid) left join pg_roles role using (oid)),
    format('USING (%s)', pg_get_expr(policy.polqual, policy.polrelid)),
    'WITH CHECK (' || pg_get_expr(policy.polwithcheck, policy.polrelid) || ')') || ';' as text
  from ${realTables} join pg_policy policy on policy.polrelid = class.oid`

const triggers = `
  select ${relationName} as object,
    pg_get_triggerdef(trigger.oid) || ';' || case when trigger.tgenabled = 'D' then ' -- DISABLED' else '' end as text
  from ${relations("'r', 'p', 'v'")} join pg_trigger trigger on trigger.tgrelid = class.oid and not trigger.tgisinternal
  union all
  select ${relationName}, pg_get_ruledef(rule.oid)
  from ${relations("'r', 'p', 'v'")} join pg_rewrite rule on rule.ev_class = class.oid and rule.rulename <> '_RETURN'`

const grantee = "coalesce(quote_ident(role.rolname), 'PUBLIC')"
const withOption = "case when entry.is_grantable then ' WITH GRANT OPTION' end"
const exploded = (acl: string) => `
  cross join lateral aclexplode(${acl}) entry left join pg_roles role on role.oid = entry.grantee
  where (entry.grantee = 0 or role.rolname = any($2)) and entry.privilege_type <> 'MAINTAIN'`

// A null ACL is the default: EXECUTE for PUBLIC on a function, and nothing for others on the rest.
const objectGrants = `
  with secured as (
    select quote_ident(nspname) as object, 'SCHEMA ' as what, coalesce(nspacl, acldefault('n', nspowner)) as acl
    from pg_namespace where nspname = any($1)
    union all
    select ${relationName}, case class.relkind when 'S' then 'SEQUENCE ' else '' end,
      coalesce(class.relacl, acldefault(case class.relkind when 'S' then 's' else 'r' end::"char", class.relowner))
    from ${relations("'r', 'p', 'v', 'm', 'S'")}
    union all
    select ${functionName}, case proc.prokind when 'p' then 'PROCEDURE ' else 'FUNCTION ' end,
      coalesce(proc.proacl, acldefault('f', proc.proowner))
    from ${procs}
  )
  select object, format('GRANT %s ON %s%s TO %s%s;', string_agg(entry.privilege_type, ', ' order by entry.privilege_type collate "C"),
    what, object, ${grantee}, ${withOption}) as text
  from secured ${exploded('acl')}
  group by object, what, role.rolname, entry.is_grantable`

const columnGrants = `
  select ${relationName} as object, format('GRANT %s (%s) ON %s TO %s%s;', entry.privilege_type,
    string_agg(quote_ident(attribute.attname), ', ' order by attribute.attname collate "C"),
    ${relationName}, ${grantee}, ${withOption}) as text
  from ${relations("'r', 'p', 'v', 'm'")}
  join pg_attribute attribute on attribute.attrelid = class.oid and not attribute.attisdropped
  ${exploded('attribute.attacl')}
  group by namespace.nspname, class.relname, entry.privilege_type, role.rolname, entry.is_grantable`

const comments = `
  select quote_ident(nspname) as object,
    format('COMMENT ON SCHEMA %I IS %L;', nspname, obj_description(oid, 'pg_namespace')) as text
  from pg_namespace where nspname = any($1) and obj_description(oid, 'pg_namespace') is not null
  union all
  select ${relationName}, case when comment.objsubid = 0
    then format('COMMENT ON %s %s IS %L;', case class.relkind
      when 'v' then 'VIEW' when 'm' then 'MATERIALIZED VIEW' when 'S' then 'SEQUENCE' else 'TABLE' end, ${relationName}, comment.description)
    else format('COMMENT ON COLUMN %s.%I IS %L;', ${relationName}, attribute.attname, comment.description) end
  from ${relations("'r', 'p', 'v', 'm', 'S'")}
  join pg_description comment on comment.classoid = 'pg_class'::regclass and comment.objoid = class.oid
  left join pg_attribute attribute on attribute.attrelid = class.oid and attribute.attnum = comment.objsubid and comment.objsubid > 0
  union all
  select ${relationName}, format('COMMENT ON INDEX %I.%I IS %L;', namespace.nspname, entry.relname, comment.description)
  from ${realTables} join pg_index index on index.indrelid = class.oid join pg_class entry on entry.oid = index.indexrelid
  join pg_description comment on comment.classoid = 'pg_class'::regclass and comment.objoid = entry.oid
  union all
  select ${relationName}, format('COMMENT ON CONSTRAINT %I ON %s IS %L;', con.conname, ${relationName}, comment.description)
  from ${realTables} join pg_constraint con on con.conrelid = class.oid and con.contype <> 'n'
  join pg_description comment on comment.classoid = 'pg_constraint'::regclass and comment.objoid = con.oid
  union all
  select ${relationName}, format('COMMENT ON POLICY %I ON %s IS %L;', policy.polname, ${relationName}, comment.description)
  from ${realTables} join pg_policy policy on policy.polrelid = class.oid
  join pg_description comment on comment.classoid = 'pg_policy'::regclass and comment.objoid = policy.oid
  union all
  select ${functionName}, format('COMMENT ON FUNCTION %s IS %L;', ${functionName}, obj_description(proc.oid, 'pg_proc'))
  from ${procs} where obj_description(proc.oid, 'pg_proc') is not null`
