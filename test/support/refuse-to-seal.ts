import { onTestFinished } from 'vitest'
import type { Session } from '../../src/database/session.js'

/**
 * Makes Postgres refuse, as too large, to number more than ten entries at once, and any entry `report.huge`, until the test has finished
 * or `accept` is called. Real texts of a gigabyte would take the tests minutes. `among`: more than ten are refused only where one of them
 * has that type.
 */
export async function refuseToSeal(admin: Session, among = '%', sqlstate = '54000') {
  await admin.query(`create function platform.refuse_huge() returns trigger language plpgsql as $$ begin
    if (select count(*) > 10 and bool_or(event_type like '${among}') or bool_or(event_type = 'report.huge') from numbered) then
      raise exception 'too large' using errcode = '${sqlstate}';
    end if;
    return null; end $$`)
  await admin.query(`create trigger refuse_huge after update on platform.audit_logs
    referencing new table as numbered for each statement execute function platform.refuse_huge()`)
  const accept = async () => {
    await admin.query('drop trigger if exists refuse_huge on platform.audit_logs')
    await admin.query('drop function if exists platform.refuse_huge()')
  }
  onTestFinished(accept)
  return { accept }
}
