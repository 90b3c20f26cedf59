import { onTestFinished, expect, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, catalogOf, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

test('what is said of keys and indexes is kept by the keys with the organization, and by the old ones again', async () => {
  const space = `marks_${new URL(database.adminUrl).pathname.slice(1)}`
  await run(`
set allow_in_place_tablespaces = on;
create tablespace ${space} location ''
`)
  onTestFinished(() =>
    run(`
drop schema marks cascade;
drop tablespace ${space}
`),
  )
  await run(`
create schema marks;
create table marks.teams (id int primary key, name text);
create table marks.notes (id int not null, code text, team_id int not null references marks.teams, "it's" text,
  constraint notes_pkey primary key (id) with (fillfactor = 70) using index tablespace ${space},
  constraint notes_code_key unique (code, team_id) with (fillfactor = 80) using index tablespace ${space});
create unique index notes_lower on marks.notes (team_id, lower("it's")) with (fillfactor = 60) tablespace ${space} where "it's" <> '';
create table marks.pages (id int primary key, note_id int references marks.notes, other_id int references marks.notes, team_id int references marks.teams);
create index pages_note on marks.pages (note_id) tablespace ${space};
create policy "it's" on marks.pages using (true);
alter table marks.notes alter code set statistics 500;
alter index marks.notes_lower alter 2 set statistics 700;
alter table marks.notes cluster on notes_pkey;
alter table marks.teams cluster on teams_pkey;
alter table marks.pages cluster on pages_note;
comment on table marks.notes is 'the table';
comment on column marks.notes.code is 'the column';
comment on constraint notes_pkey on marks.notes is 'the note''s key';
comment on index marks.notes_pkey is 'its index';
comment on constraint notes_code_key on marks.notes is 'its code';
comment on index marks.notes_code_key is 'the index of its code';
comment on index marks.notes_lower is 'a text \\ only';
comment on constraint pages_note_id_fkey on marks.pages is 'its note';
comment on constraint pages_other_id_fkey on marks.pages is 'another note';
comment on index marks.pages_note is 'pages of a note';
comment on policy "it's" on marks.pages is 'everybody''s';
insert into marks.teams values (1, 'Marks');
insert into marks.notes values (1, 'a', 1, 'b');
insert into marks.pages values (1, 1, 1, 1)
`)
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'marks', {
    organizations: { table: 'teams', id: 'id', externalIds: 'none' },
    tables: {
      notes: { kind: 'tenant', way: { column: 'team_id' } },
      pages: { kind: 'tenant', way: { column: 'team_id' }, crossing: ['pages_other_id_fkey'] },
    },
  })
  const before = await catalogOf(session, 'marks')
  await take('expand')
  await fill()
  await take('prove')
  const proved = await catalogOf(session, 'marks')
  await take('swap')
  const marks = (lines: readonly string[]) =>
    lines.filter((line) => /^\S+ (?:comment on|statistics|kept)/.test(line) && !/_alone|_org_/.test(line))
  const wanted = marks(before)
    .filter((line) => !line.includes('pages_other_id_fkey'))
    .map((line) => line.replace('notes_lower.2', 'notes_lower.3'))
  expect(marks(await catalogOf(session, 'marks'))).toEqual(wanted)
  await undo('prove')
  expect(await catalogOf(session, 'marks')).toEqual(proved)
  await take('swap', 'observe', 'enforce', 'contract')
  await undo()
  expect(await catalogOf(session, 'marks')).toEqual(before)
})
