/** One thing that two machines have and that differs. Null where there is none, or it is unknown. */
export interface FactChange<Field extends string = string> {
  field: Field;
  a: string | null;
  b: string | null;
}

/** What a thing has, by name, as texts to compare. */
export type FactValues<Item, Field extends string> = Readonly<Record<Field, (item: Item) => string | null>>;

/** The facts that differ, in the order of the table. */
export const changesOf = <Item, Field extends string>(
  a: Item,
  b: Item,
  facts: FactValues<Item, Field>,
): FactChange<Field>[] =>
  (Object.entries(facts) as [Field, (item: Item) => string | null][]).flatMap(([field, of]) => {
    const change = {field, a: of(a), b: of(b)};
    return change.a === change.b ? [] : [change];
  });
