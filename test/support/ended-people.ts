/** How a person cannot act any more, and what it sets in their row. */
export const endedPeople = [
  ['suspended', `status = 'suspended'`],
  ['banned', `banned_until = now() + interval '1 h'`],
  ['deleted', 'deleted_at = now()'],
] as const
