import { digestFound, resultFound } from './function-digest.js'
import { functionNamed } from './rights.js'

/** The condition for `p` that it is in the language `internal` or `c`, whose numbers are fixed. Aggregates count as `internal`. */
const isInC = "p.prolang in (12, 13) and p.prokind <> 'a'"

/**
 * Findings about schemas, the database and functions. `$4` is the list of declared functions, `$7` the functions that the host
 * allows.
 */
export const functionCtes = `
declared_function as materialized (
  select f.*, p.oid, p.proowner,
    ${digestFound} as found, ${resultFound} is distinct from f.result and f.result is not null as has_other_types
  from (
    select f.*, ${functionNamed('f.signature')} as found_oid
    from pg_catalog.jsonb_to_recordset($4::jsonb) as f(signature text, digests jsonb, result text, executable boolean, restore text, origin text)
  ) f
  left join pg_catalog.pg_proc p on p.oid = f.found_oid
),
executor as materialized (
  select p.oid, p.proowner, p.pronamespace, p.prosecdef, p.prorettype, a.grantee, a.is_grantable
  from pg_catalog.pg_proc p
  cross join lateral pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
  where (p.prosecdef or p.proacl is not null or p.oid = any (array(select f.oid from declared_function f)))
    and a.grantee <> p.proowner and a.grantee = any (array(select g.oid from grantee g))
),
-- Undeclared functions that can get around row security. Those below 16384 came with the server.
powerful as materialized (
  select p.oid, p.proleakproof, p.proconfig, p.prolang, p.prokind, p.pronamespace
  from pg_catalog.pg_proc p
  where p.oid >= 16384 and (p.proleakproof or p.proconfig is not null or ${isInC})
    and not exists (select from declared_function f where f.oid = p.oid)
)`

/** A newer server may have more leakproof functions of its own. */
const knownServers = 190_000

/** What Postgres 15 to 18 are delivered with as leakproof, besides the comparisons. */
const leakproof = [
  'bool_int4,bpchar_larger,bpchar_name,bpchar_smaller,bytea_larger,bytea_smaller,crc32_bytea,crc32c_bytea,float4_numeric',
  'float8_numeric,ftod,i2tod,i2tof,i2toi4,i4tod,i4tof,i8tod,i8tof,int28,int2_bytea,int2_numeric,int48,int4_bool,int4_bytea',
  'int4_numeric,int8_bytea,int8_numeric,macaddrtomacaddr8,md5_bytea,md5_text,name_text,nameeqtext,namegetext,namegttext',
  'nameletext,namelttext,namenetext,oidtoi8,sha224_bytea,sha256_bytea,sha384_bytea,sha512_bytea,text_larger,text_name',
  'text_smaller,text_starts_with,texteqname,textgename,textgtname,textlename,textltname,textnename,time_interval',
  'uuid_extract_timestamp,uuid_extract_version',
].join()

/** The condition for `p` that no extension brought it. */
const isOfNoExtension = `not exists (
      select from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e')`

/** The signature in the form of allowFunctions. */
const signatureOf = (oid: string) => `(
  select pg_catalog.format('%s.%s(%s)', n.nspname, s.proname, pg_catalog.oidvectortypes(s.proargtypes))
  from pg_catalog.pg_proc s join pg_catalog.pg_namespace n on n.oid = s.pronamespace where s.oid = ${oid})`

const undeclared = 'not exists (select from declared_function f where f.oid = e.oid)'

const isAllowed = (oid: string) =>
  `exists (select from pg_catalog.unnest($7::text[]) as allowed(signature) where ${functionNamed('allowed.signature')} = ${oid})`

export const functionFindings: readonly string[] = [
  `select 'a function is missing', f.signature, f.restore, true from declared_function f where f.oid is null and f.origin is null`,

  // CREATE OR REPLACE cannot change the types of a function. What CASCADE drops besides, policies above all, is a finding of the next proof.
  `select 'a function differs', f.signature,
    case when f.has_other_types then pg_catalog.format('drop routine %s cascade; ', f.signature) else '' end || f.restore, true
  from declared_function f where f.oid is not null and (f.has_other_types or not f.digests operator(pg_catalog.?) f.found)`,

  `select 'is owned by another role', pg_catalog.format('%s by %s', f.signature, f.proowner::pg_catalog.regrole),
    pg_catalog.format('alter function %s owner to %s', f.signature, place.owner::pg_catalog.regrole), true
  from declared_function f cross join place where f.proowner <> place.owner`,

  `select 'a right is missing', pg_catalog.format('execute on %s to %s', f.signature, g.name), 'npx tenantry bootstrap', true
  from declared_function f join grantee g on g.role is not null
  where f.executable and f.origin is null and f.oid is not null and not exists (select from executor e where e.oid = f.oid and e.grantee = g.oid)`,

  `select 'a right is not declared', pg_catalog.format('execute on %s to %s%s', f.signature, g.name, case when e.is_grantable then ' with grant option' end),
    case when g.role is null and g.oid <> 0 then pg_catalog.format('revoke execute on function %s from %s cascade', f.signature, g.name) else 'npx tenantry bootstrap' end, true
  from executor e join declared_function f on f.oid = e.oid join grantee g on g.oid = e.grantee
  where e.is_grantable or g.role is null or not f.executable`,

  // It runs with the rights of its owner. Trigger functions cannot be called directly, and the login may not create a trigger.
  `select 'may execute an undeclared definer function', pg_catalog.format('%s by %s', e.oid::pg_catalog.regprocedure, g.name),
    pg_catalog.format('revoke execute on routine %s from %s cascade -- or, where the application is to execute it, allowFunctions: [%L]',
      e.oid::pg_catalog.regprocedure, g.name, ${signatureOf('e.oid')}), true
  from executor e join grantee g on g.oid = e.grantee cross join here
  where e.prosecdef and ${undeclared}
    and e.prorettype not in ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype)
    -- A view, an operator, a cast or a default calls it without the use of its schema. What everybody has in a closed schema is left out.
    and (e.grantee <> 0 or pg_catalog.has_schema_privilege(here.login, e.pronamespace, 'usage'))
    and not ${isAllowed('e.oid')}
    and not (e.grantee = 0 and exists (
      select from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = e.oid and d.deptype = 'e'))`,

  // Postgres asks the owner of an aggregate for the right on the functions that it is made of. Over set_config it would move the binding.
  `select distinct 'an aggregate runs a closed function', pg_catalog.format('%s runs %s', a.aggfnoid::pg_catalog.regprocedure, f.part::pg_catalog.regprocedure),
    pg_catalog.format('revoke execute on routine %s from %s cascade', a.aggfnoid::pg_catalog.regprocedure,
      (select pg_catalog.string_agg(g.name, ', ') from grantee g)), true
  from here cross join pg_catalog.pg_aggregate a
  cross join lateral pg_catalog.unnest(array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
    a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::pg_catalog.oid[]) as f(part)
  where a.aggfnoid >= 16384 and f.part <> 0 and pg_catalog.has_function_privilege(here.login, a.aggfnoid, 'execute')
    and not pg_catalog.has_function_privilege(here.login, f.part, 'execute')`,

  // It runs with that setting, and the earlier one is back when it returns.
  `select 'a function sets the binding or the role', p.oid::pg_catalog.regprocedure::text,
    pg_catalog.format('alter routine %s reset all', p.oid::pg_catalog.regprocedure), true
  from here cross join powerful p
  where exists (select from pg_catalog.unnest(p.proconfig) c where c operator(pg_catalog.~*) '^(tenantry[.]|role=|session_authorization=|row_security=)')
    and pg_catalog.has_function_privilege(here.login, p.oid, 'execute')`,

  // Postgres runs it before the policy, on rows of every organization.
  `select 'a leakproof function sees rows before row security', p.oid::pg_catalog.regprocedure::text,
    pg_catalog.format('alter function %s not leakproof', p.oid::pg_catalog.regprocedure), true
  from here cross join powerful p
  where p.proleakproof and ${isOfNoExtension} and pg_catalog.has_function_privilege(here.login, p.oid, 'execute')`,

  // The server's own functions are looked at too: that of LIKE fails on some rows, and so tells them apart. One
  // without arguments sees none.
  `select 'a leakproof function sees rows before row security', p.oid::pg_catalog.regprocedure::text,
    pg_catalog.format('alter function %s not leakproof', p.oid::pg_catalog.regprocedure), true
  from pg_catalog.pg_proc p
  where p.proleakproof and p.oid < 16384 and p.pronargs > 0 and pg_catalog.current_setting('server_version_num')::integer < ${knownServers}
    and not (p.prosrc operator(pg_catalog.~) '(eq|ne|lt|le|gt|ge|cmp)$' and p.prosrc operator(pg_catalog.!~) 'regex|array|record|range')
    and p.prosrc <> all ('{${leakproof}}'::text[])`,

  // It can be a second name of a function that is closed, such as set_config.
  `select 'may execute a function in C', p.oid::pg_catalog.regprocedure::text,
    pg_catalog.format('revoke execute on routine %s from %s cascade -- or, where the application is to execute it, allowFunctions: [%L]',
      p.oid::pg_catalog.regprocedure, (select pg_catalog.string_agg(g.name, ', ') from grantee g), ${signatureOf('p.oid')}), true
  from here cross join powerful p
  where ${isInC} and p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace and ${isOfNoExtension}
    and pg_catalog.has_function_privilege(here.login, p.oid, 'execute') and not ${isAllowed('p.oid')}`,

  `select 'may execute a restricted function', pg_catalog.format('%s by %s', e.oid::pg_catalog.regprocedure, g.name),
    pg_catalog.format('revoke execute on function %s from %s', e.oid::pg_catalog.regprocedure, g.name), true
  from executor e join grantee g on g.oid = e.grantee
  where e.grantee <> 0 and e.pronamespace = 'pg_catalog'::pg_catalog.regnamespace`,

  `select 'the owner may not bind', place.owner::pg_catalog.regrole::text,
    pg_catalog.format('grant execute on function %s to %s', place.set_config, place.owner::pg_catalog.regrole), true
  from place where not pg_catalog.has_function_privilege(place.owner, place.set_config, 'execute')`,

  `select 'SQL text can move the binding', pg_catalog.format('%s may execute %s', here.login_name, place.set_config), 'npx tenantry bootstrap # as a superuser', false
  from here cross join place where pg_catalog.has_function_privilege(here.login, place.set_config, 'execute')`,

  `select distinct 'SQL text can make large objects', pg_catalog.format('%s may execute %s', here.login_name, p.oid::pg_catalog.regprocedure),
    'npx tenantry bootstrap # as a superuser', false
  from here cross join pg_catalog.pg_proc p
  where p.proname in ('lo_creat', 'lo_create', 'lo_from_bytea') and p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
    and pg_catalog.has_function_privilege(here.login, p.oid, 'execute')`,
]

/** The owner of the library's tables, its functions that are visible without their schema, and the function that binds. */
export const placeCtes = `
place as materialized (
  select c.relowner as owner,
    array(
      select f.proname::text from pg_catalog.pg_proc f
      where f.pronamespace = c.relnamespace and f.pronargs = 0 and pg_catalog.pg_function_is_visible(f.oid)
    ) as visible,
    'pg_catalog.set_config(text,text,boolean)'::pg_catalog.regprocedure as set_config
  from (values (1)) one
  left join (pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = 'platform')
    on c.relname = 'organizations'
)`

export const placeFindings: readonly string[] = [
  `select 'is owned by another role', pg_catalog.format('schema %s by %s', n.nspname, n.nspowner::pg_catalog.regrole),
    pg_catalog.format('alter schema %I owner to %s', n.nspname, place.owner::pg_catalog.regrole), true
  from pg_catalog.pg_namespace n cross join place where n.nspname = 'platform' and n.nspowner <> place.owner`,

  `select distinct 'a right is missing', pg_catalog.format('usage on schema %I to %s', d.schema, g.name), 'npx tenantry bootstrap', true
  from declared d join grantee g on g.role is not null
  where d.namespace is not null and not pg_catalog.has_schema_privilege(g.oid, d.namespace, 'usage')`,

  `select 'may create in a schema', pg_catalog.format('%s by %s', n.nspname, g.name),
    pg_catalog.format('revoke create on schema %I from %s cascade', n.nspname, g.name), true
  from pg_catalog.pg_namespace n cross join lateral pg_catalog.aclexplode(n.nspacl) a join grantee g on g.oid = a.grantee
  where a.privilege_type = 'CREATE' and g.oid <> n.nspowner`,

  `select case a.privilege_type when 'CREATE' then 'may create schemas' else 'may make temporary tables' end,
    pg_catalog.format('%s by %s', here.database_name, g.name),
    case when a.privilege_type = 'TEMPORARY' and g.oid = 0 then 'npx tenantry bootstrap --exclusive-database'
      else pg_catalog.format('revoke %s on database %I from %s cascade', pg_catalog.lower(a.privilege_type), here.database_name, g.name) end,
    a.privilege_type = 'CREATE'
  from here join pg_catalog.pg_database d on d.oid = here.database
  cross join lateral pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
  join grantee g on g.oid = a.grantee
  where a.privilege_type in ('CREATE', 'TEMPORARY') and g.oid <> d.datdba`,

  // A default privilege would grant rights on the next table or partition when it is created.
  `select 'default privileges grant', pg_catalog.format('%s%s of %s to %s', kind.name, case when n.oid is not null then pg_catalog.format(' in %s', n.nspname) end,
      d.defaclrole::pg_catalog.regrole, g.name),
    pg_catalog.format('alter default privileges for role %s%s revoke all on %s from %s', d.defaclrole::pg_catalog.regrole,
      case when n.oid is not null then pg_catalog.format(' in schema %I', n.nspname) end, kind.name, g.name), true
  from pg_catalog.pg_default_acl d
  join (values ('r'::"char", 'tables'), ('S', 'sequences'), ('n', 'schemas')) kind(code, name) on kind.code = d.defaclobjtype
  left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
  cross join place
  join grantee g on g.oid in (select a.grantee from pg_catalog.aclexplode(d.defaclacl) a)
  where g.oid <> 0 or d.defaclrole = place.owner or n.oid in (select s.namespace from declared s)`,

  `select 'may set a parameter', pg_catalog.format('%s by %s', p.parname, g.name),
    pg_catalog.format('revoke all on parameter %s from %s cascade', p.parname, g.name), true
  from pg_catalog.pg_parameter_acl p
  join grantee g on g.oid in (select a.grantee from pg_catalog.aclexplode(p.paracl) a)`,
]
