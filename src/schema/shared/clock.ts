/** The clock of a statement, for its `from`: in an update, a cluster accepts no clock inside of CASE or COALESCE. */
export const clock = '(select statement_timestamp() as now) clock'
