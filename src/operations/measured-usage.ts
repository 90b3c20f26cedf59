/** The `period` that `measuredUsage` reads, and the whole UTC days in it. `edges` is a query of one row with `begins` and `ends`. */
export const periodOf = (edges: string): string => `period as materialized (
   select begins, ends, pg_catalog.date_trunc('day', begins + interval '1 day' - interval '1 microsecond', 'UTC') as first_day,
     pg_catalog.date_trunc('day', ends, 'UTC') as last_day
   from (${edges}) edges
 )`

/**
 * What was used in the period, as rows of a metric, project and day with a quantity. Whole UTC days are rolled up; the events of a day that
 * the period has only a part of are read one by one.
 */
export const measuredUsage = `
  select m.metric_type as metric, m.project_id as project, m.period_start as day, m.metric_value as quantity
  from platform.usage_metrics m, period
  where m.org_id = $1 and m.period_start >= period.first_day and m.period_start < period.last_day
  union all
  select e.metric_type, e.project_id, pg_catalog.date_trunc('day', e.occurred_at, 'UTC'), e.quantity
  from platform.usage_events e, period
  where e.org_id = $1 and e.occurred_at >= period.begins and e.occurred_at < least(period.first_day, period.ends)
  union all
  select e.metric_type, e.project_id, pg_catalog.date_trunc('day', e.occurred_at, 'UTC'), e.quantity
  from platform.usage_events e, period
  where e.org_id = $1 and e.occurred_at >= greatest(period.first_day, period.last_day) and e.occurred_at < period.ends`

/** The edges of the current period of the organization's subscription. */
export const currentPeriod = `select s.current_period_start as begins, s.current_period_end as ends
  from platform.subscriptions s where s.org_id = $1`
