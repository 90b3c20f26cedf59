/** A schema as it was before organizations, and what an application writes to it. */
export interface Form {
  /** The tables of which every row is compared, and of each the column that numbers the rows which were there. */
  readonly tables: Readonly<Record<string, string>>
  /** Makes the tables in the schema `public`. `n` is the number of rows of the largest ones. */
  readonly script: string
  readonly decisions: object
  /** One change by a writer; `$1` is a number of its own beyond all rows, `$2` one of a row that was there. */
  readonly writes: readonly string[]
}

const touching = (table: string) => `
create function touch() returns trigger language plpgsql as 'begin new.updated_at := now(); return new; end';
create trigger touched before update on ${table} for each row execute function touch()`

/** Teams own projects, and a task leads to its team by two foreign keys. */
const owner: Form = {
  tables: { projects: 'id', workflows: 'id', tasks: 'id' },
  script: `
create table teams (id int primary key, name text not null);
create table projects (id int primary key, team_id int not null references teams on delete cascade, slug text not null unique);
create table workflows (id int primary key, project_id int not null references projects on delete cascade, name text);
create table tasks (id int primary key, workflow_id int references workflows on delete set null, project_id int not null references projects,
  parent_id int references tasks, title text, price numeric, updated_at timestamptz not null default '2026-01-01');
create index tasks_workflow on tasks (workflow_id);
create view open_tasks as select * from tasks where title <> '';${touching('tasks')};
insert into teams select i, 'Team ' || i from generate_series(1, n / 1000 + 1) i;
insert into projects select i, 1 + i % (n / 1000 + 1), 'p' || i from generate_series(1, n / 100 + 1) i;
insert into workflows select i, 1 + i % (n / 100 + 1), 'w' || i from generate_series(1, n) i;
insert into tasks select i, w.id, w.project_id, null, 't' || i, i / 7.0 from generate_series(1, n) i join workflows w on w.id = i`,
  decisions: {},
  writes: [
    `insert into tasks (id, workflow_id, project_id, title) select $1, w.id, w.project_id, 'new' from workflows w where w.id = $2`,
    `update tasks set workflow_id = (select min(w.id) from workflows w where w.project_id = tasks.project_id and $2::int > 0) where id = $1`,
    `insert into workflows (id, project_id, name) select $1, w.project_id, 'new' from workflows w where w.id = $2`,
    `update tasks set title = 'changed' where id = $1 and $2::int > 0`,
    `delete from tasks where id = $1 and $2::int % 3 = 0`,
  ],
}

/** The database of one customer. */
const constant: Form = {
  tables: { workflows: 'id', tasks: 'id', schedules: 'id' },
  script: `
create table workflows (id serial primary key, name text not null unique);
create table tasks (id int primary key, workflow_id int not null references workflows, title text, updated_at timestamptz not null default '2026-01-01');
create table schedules (id int primary key, workflow_id int not null references workflows on delete cascade, cron text not null);${touching('tasks')};
insert into workflows (name) select 'w' || i from generate_series(1, n) i;
insert into tasks select i, i, 't' || i from generate_series(1, n) i;
insert into schedules select i, i, '* * * * *' from generate_series(1, n) i`,
  decisions: { organizations: { constant: { name: 'Acme', slug: 'acme' } } },
  writes: [
    `insert into tasks (id, workflow_id, title) values ($1, $2, 'new')`,
    `insert into schedules (id, workflow_id, cron) values ($1, $2, '0 0 * * *')`,
    `update tasks set title = 'changed' where id = $1 and $2::int > 0`,
    `delete from schedules where id = $1 and $2::int % 3 = 0`,
  ],
}

/**
 * People are in teams by a link table, and so are labels on documents. The ids of teams are numbers, so that each becomes the external id
 * of its organization. Some documents name no team, and go to the organization of their author.
 */
const team: Form = {
  tables: {
    users: 'id',
    memberships: 'user_id',
    documents: 'id',
    revisions: 'id',
    labels: 'id',
    labelings: 'document_id',
  },
  script: `
create table users (id int primary key, email text not null unique, name text);
create table teams (id int primary key, name text not null, slug text unique);
create table memberships (user_id int not null references users on delete cascade, team_id int not null references teams on delete cascade,
  role text not null default 'member', primary key (user_id, team_id));
create table documents (id int primary key, team_id int references teams, author_id int not null references users, number int not null,
  title text, updated_at timestamptz not null default '2026-01-01', unique (team_id, number));
create table revisions (id int primary key, document_id int not null references documents on delete cascade, body text not null,
  editor_id int references users on delete set null);
create table labels (id int primary key, team_id int not null references teams on delete cascade, name text not null, unique (team_id, name));
create table labelings (document_id int references documents on delete cascade, label_id int references labels on delete cascade,
  primary key (document_id, label_id));
create index revisions_document on revisions (document_id);
create index documents_title on documents (lower(title));${touching('documents')};
insert into users select i, 'u' || i || '@example.com', 'User ' || i from generate_series(1, n) i;
insert into teams select i, case when i % 50 = 0 then 'Twins' else 'Team ' || i end, case when i % 2 = 0 then 'team-' || i end
  from generate_series(1, n / 500 + 1) i;
insert into memberships select i, 1 + i % (n / 500 + 1) from generate_series(1, n) i;
insert into documents select i, case when i % 1000 > 0 then 1 + i % (n / 500 + 1) end, i, i, 'Document ' || i from generate_series(1, n) i;
insert into revisions select i, i, repeat('text ', i % 40), nullif(i % 7, 0) from generate_series(1, n) i;
insert into labels select i, 1 + i % (n / 500 + 1), 'label ' || i from generate_series(1, n) i;
insert into labelings select d.id, d.id from documents d where d.team_id is not null`,
  decisions: {
    tables: {
      users: { kind: 'people' },
      documents: { kind: 'tenant', way: { column: 'team_id' }, unreached: { personal: 'author_id' } },
      labelings: { kind: 'tenant', way: { parent: 'labelings_document_id_fkey' } },
    },
  },
  writes: [
    `insert into users (id, email) values ($1, 'new' || $1::int || '@example.com') returning $2::int`,
    `insert into memberships (user_id, team_id) select $1, m.team_id from memberships m where m.user_id = $2`,
    `insert into documents (id, team_id, author_id, number, title) select $1, d.team_id, $1, $1, 'new' from documents d where d.id = $2`,
    `insert into labels (id, team_id, name) select $1, d.team_id, 'new ' || $1::int from documents d where d.id = $1 and d.team_id is not null and $2::int > 0`,
    `insert into labelings (document_id, label_id) select $1, l.id from labels l where l.id = $1 and $2::int > 0`,
    `insert into revisions (id, document_id, body, editor_id) select $1, d.id, 'of user ' || $2::int, $1 from documents d where d.id = $1`,
    `update documents set title = 'changed by ' || $2::int where id = $1`,
    `delete from documents where id = $1 and $2::int % 3 = 0`,
    `update memberships set role = 'owner' where user_id = $1 and $2::int > 0`,
  ],
}

/**
 * Cards lead to their organization over boards and projects, comments by words to cards or boards, and files over comments. Cards without a
 * board are put aside, with what belongs to them, and with comments on what is gone.
 */
const path: Form = {
  tables: { projects: 'id', boards: 'id', cards: 'id', comments: 'id', files: 'id' },
  script: `
create table teams (id bigint generated always as identity primary key, name text not null);
create table projects (id int primary key, team_id bigint not null references teams, slug text not null unique);
create table boards (id int primary key, project_id int not null references projects on delete cascade, name text);
create table cards (id int primary key, board_id int references boards on delete cascade deferrable initially deferred,
  after_id int references cards on delete set null, title text, updated_at timestamptz not null default '2026-01-01');
create table comments (id int primary key, subject_type text not null, subject_id int not null, body text);
create table files (id int primary key, comment_id int references comments on delete cascade, bytes bytea,
  size int generated always as (length(bytes)) stored);
create index cards_board on cards (board_id);
create index comments_subject on comments (subject_type, subject_id);
create view boards_with_cards as select b.name, count(*) as cards from boards b join cards c on c.board_id = b.id group by b.name;${touching('cards')};
insert into teams (name) select 'Team ' || i from generate_series(1, n / 1000 + 1) i;
insert into projects select i, 1 + i % (n / 1000 + 1), 'p' || i from generate_series(1, n / 100 + 1) i;
insert into boards select i, 1 + i % (n / 100 + 1), 'b' || i from generate_series(1, n) i;
insert into cards select i, case when i % 500 > 0 then i end, case when i > n / 100 + 1 and (i - n / 100 - 1) % 500 > 0 then i - n / 100 - 1 end, 'c' || i
  from generate_series(1, n) i;
insert into comments select i, case when i % 3 = 0 then 'Board' else 'Card' end, case when i % 700 > 0 then i else i + 10 * n end, 'text ' || i
  from generate_series(1, n) i;
insert into files (id, comment_id, bytes) select i, i, decode(md5(i::text), 'hex') from generate_series(1, n) i`,
  decisions: {
    tables: {
      cards: { kind: 'tenant', way: { parent: 'cards_board_id_fkey' }, unreached: 'quarantine' },
      comments: {
        kind: 'tenant',
        way: { polymorphic: { type: 'subject_type', id: 'subject_id', tables: { Card: 'cards', Board: 'boards' } } },
        unreached: 'quarantine',
      },
      files: { kind: 'tenant', way: { parent: 'files_comment_id_fkey' }, unreached: 'quarantine' },
    },
  },
  writes: [
    `insert into boards (id, project_id, name) select $1, b.project_id, 'new' from boards b where b.id = $2`,
    `insert into cards (id, board_id, title) select $1, b.id, 'new ' || $2::int from boards b where b.id = $1`,
    `insert into comments (id, subject_type, subject_id, body) select $1, 'Card', c.id, 'new' from cards c where c.id = $2 and c.board_id is not null`,
    `insert into files (id, comment_id, bytes) select $1, c.id, '\\x00' from comments c where c.id = $1 and $2::int > 0`,
    `update cards set board_id = (select min(o.id) from boards b join boards o on o.project_id = b.project_id where b.id = $1 and $2::int > 0) where id = $1`,
    `update comments set subject_type = 'Board', subject_id = (select c.board_id from cards c where c.id = comments.subject_id) where id = $1 and $2::int % 2 = 0`,
    `delete from comments where id = $1 and $2::int % 3 = 0`,
    `delete from boards where id = $1 and $2::int % 5 = 0`,
  ],
}

export const forms: Readonly<Record<string, Form>> = { owner, constant, team, path }
