/** Where the fields of a trace event are in its binary record, as its `format` file says. */
export interface EventFormat {
  id: number;
  fields: Map<string, {offset: number; size: number}>;
}

/** Parses a `format` file (print_event_fields in kernel/trace/trace_events.c); fields differ between kernels. */
export const parseEventFormat = (text: string): EventFormat => {
  const fields = new Map<string, {offset: number; size: number}>();
  for (const [, declaration = '', offset, size] of text.matchAll(
    /\tfield:([^;]+);\toffset:(\d+);\tsize:(\d+);/g,
  )) {
    const name = /(\w+)(?:\[\w*\])?$/.exec(declaration)?.[1];
    if (name !== undefined) fields.set(name, {offset: Number(offset), size: Number(size)});
  }
  const id = Number(/^ID: (\d+)$/m.exec(text)?.[1] ?? NaN);
  if (Number.isNaN(id) || fields.size === 0) throw new Error('this is not the format of a trace event');
  return {id, fields};
};

/** Reads an integer field of 4 or fewer bytes from a record. */
export const fieldReader = (
  format: EventFormat,
  name: string,
): ((page: Buffer, record: number) => number) => {
  const field = format.fields.get(name);
  if (field === undefined) throw new Error(`trace event ${format.id} has no field ${name}`);
  const {offset, size} = field;
  return size === 2
    ? (page, record) => page.readUInt16LE(record + offset)
    : (page, record) => page.readUInt32LE(record + offset);
};
