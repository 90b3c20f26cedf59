import type { Session } from '../../src/database/session.js'
import { shownIn } from './secret-marks.js'
import type { SecretSearch } from './secret-search.js'

const batch = 2000
const planted = 'planted in '

/** The kind of the secret that is planted in a place. It may be found in others too, such as the log of the server. */
export const plantedIn = (place: string): string => planted + place

/** What was found in each place. */
export class Found {
  readonly leaks = new Set<string>()
  readonly shown = new Set<string>()
  readonly searched = new Set<string>()
  private notes: { place: string; text: string }[] = []
  private readonly known = new Set<string>()

  constructor(private readonly search: SecretSearch) {}

  /** Searched later, because a token may be known only when it is answered. */
  readonly note = (place: string, text: string): void => {
    this.notes.push({ place, text })
  }

  searchNotes(): void {
    const { notes } = this
    this.notes = []
    for (const { place, text } of notes) this.look(place, text)
  }

  look(place: string, text: string): void {
    for (const { kind, excerpt } of this.search.find(text)) {
      if (kind === plantedIn(place)) this.searched.add(place)
      else if (shownIn[kind]?.includes(place) === true) this.shown.add(`${kind} in ${place}`)
      else if (!kind.startsWith(planted) && !this.known.has(`${kind} in ${place}`)) {
        // The first of each kind in each place is enough.
        this.known.add(`${kind} in ${place}`)
        this.leaks.add(`${kind} in ${place}: ${excerpt}`)
      }
    }
  }
}

/** Every row of every table as text. */
export async function searchTables(found: Found, session: Session): Promise<void> {
  const tables = await session.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and not c.relispartition and n.nspname not in ('pg_catalog', 'information_schema')
     order by 1`,
  )
  for (const { name } of tables) {
    await session.query('begin')
    await session.query(`declare dump no scroll cursor for select t::text as row from ${name} t`)
    for (;;) {
      const rows = await session.query<{ row: string }>(`fetch ${String(batch)} from dump`)
      if (rows.length === 0) break
      found.look(`table ${name}`, rows.map(({ row }) => row).join('\n'))
    }
    await session.query('commit')
  }
}
