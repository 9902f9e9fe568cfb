/** One thing that two machines have and that differs. Null where there is none, or it is unknown. */
export interface Change<Field extends string = string> {
  field: Field;
  a: string | null;
  b: string | null;
}

/** What a thing has, by name, as texts to compare. */
export type Facts<Item, Field extends string> = Readonly<Record<Field, (item: Item) => string | null>>;

/** The facts that differ, in the order of the table. */
export const changesOf = <Item, Field extends string>(
  a: Item,
  b: Item,
  facts: Facts<Item, Field>,
): Change<Field>[] =>
  (Object.entries(facts) as [Field, (item: Item) => string | null][]).flatMap(([field, of]) => {
    const change = {field, a: of(a), b: of(b)};
    return change.a === change.b ? [] : [change];
  });
