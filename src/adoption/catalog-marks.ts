/** What the server keeps of a key, an index or a policy beside its definition, and forgets with it. */
export interface CatalogMark {
  /** The name of the key, the index or the policy. */
  readonly of: string
  readonly kind: 'key' | 'index' | 'policy'
  /** The statement that makes it. */
  readonly statement: string
  /** The same for a key with one more column in front. */
  readonly shifted: string
}

const commentOf = (id: string, className: string) => `pg_catalog.obj_description(${id}, '${className}')`
const keyComment = commentOf('k.oid', 'pg_constraint')
const policyComment = commentOf('p.oid', 'pg_policy')
const indexComment = commentOf('i.oid', 'pg_class')

const indexName = `pg_catalog.format('%I.%I', n.nspname, i.relname)`

const statistics = (place: string) =>
  `pg_catalog.format('alter index %s alter column %s set statistics %s', ${indexName}, ${place}, s.attstattarget)`

/** Of table `c` in schema `n`. */
export const marks = `coalesce((
  select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('of', m.name, 'kind', m.kind, 'statement', m.statement, 'shifted', coalesce(m.shifted, m.statement))
    order by m.name, m.kind, m.statement)
  from (
    select k.conname as name, 'key' as kind, null as shifted,
      pg_catalog.format('comment on constraint %I on %I.%I is %L', k.conname, n.nspname, c.relname, ${keyComment}) as statement
    from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype in ('p', 'u', 'f') and ${keyComment} is not null
    union all
    select p.polname, 'policy', null, pg_catalog.format('comment on policy %I on %I.%I is %L', p.polname, n.nspname, c.relname, ${policyComment})
    from pg_catalog.pg_policy p where p.polrelid = c.oid and ${policyComment} is not null
    union all
    select i.relname, 'index', v.shifted, v.statement
    from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid
    cross join lateral (
      select null as shifted, pg_catalog.format('comment on index %s is %L', ${indexName}, ${indexComment}) as statement where ${indexComment} is not null
      union all
      select null, pg_catalog.format('alter table %I.%I cluster on %I', n.nspname, c.relname, i.relname) where x.indisclustered
      union all
      select ${statistics('s.attnum + 1')}, ${statistics('s.attnum')} from pg_catalog.pg_attribute s where s.attrelid = i.oid and s.attstattarget >= 0
    ) v
    where x.indrelid = c.oid
  ) m), '[]')`

/** The definition of index `x`, with its tablespace where it is not that of the database. */
export const indexDefinition = `(
    select case when i.reltablespace = 0 then d.whole else pg_catalog.left(d.whole, pg_catalog.length(d.whole) - pg_catalog.length(d.predicate)) || ' TABLESPACE ' ||
      (select pg_catalog.quote_ident(s.spcname) from pg_catalog.pg_tablespace s where s.oid = i.reltablespace) || d.predicate end
    from (select pg_catalog.pg_get_indexdef(x.indexrelid) as whole, coalesce(' WHERE ' || pg_catalog.pg_get_expr(x.indpred, x.indrelid), '') as predicate) d)`
