import type { Rows } from './counts.js'

export interface Finding {
  readonly table?: string
  readonly kind: string
  /** `decision`: in tenantry.adopt.json. `mend`: in the database. `attention`: nothing has to be done before the plan. */
  readonly needs: 'decision' | 'mend' | 'attention'
  readonly message: string
  readonly rows?: Rows
}
