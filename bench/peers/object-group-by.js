// ZenStack's parser is written for Node 22. This is what it misses on Node 20; the client that is measured misses nothing.
Object.groupBy ??= (items, keyOf) => {
  const groups = Object.create(null)
  for (const item of items) (groups[keyOf(item)] ??= []).push(item)
  return groups
}
