import assert from 'node:assert/strict';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import Groups from '../src/commands/groups.js';
import type {GroupsDocument} from '../src/groups/groups-document.js';
import {machine, intel, pci} from './support/machine.js';
import {PROJECT, run} from './support/run.js';

const SCHEMAS = join(PROJECT, 'src/schemas');

interface Schema {
  description?: string;
  type?: unknown;
  $ref?: string;
  items?: Schema;
  properties?: Record<string, Schema>;
  definitions?: Record<string, Schema>;
  anyOf?: Schema[];
}

const schemas = readdirSync(SCHEMAS).map((name) => ({
  name,
  schema: JSON.parse(readFileSync(join(SCHEMAS, name), 'utf8')) as Schema,
}));

/** Every object that a schema describes. */
const objectsOf = (schema: Schema): Record<string, Schema>[] => [
  ...(schema.properties === undefined ? [] : [schema.properties]),
  ...[
    ...Object.values(schema.properties ?? {}),
    ...Object.values(schema.definitions ?? {}),
    ...(schema.anyOf ?? []),
    ...(schema.items === undefined ? [] : [schema.items]),
  ].flatMap(objectsOf),
];

const oldNameOf = ({description = ''}: Schema): string | undefined =>
  /^Old name of `(\w+)`\.$/.exec(description)?.[1];

describe('the documents have one word for one thing', () => {
  for (const {name, schema} of schemas) {
    it(`whatever is in a list of groups says which by "group" (${name})`, () => {
      for (const {groups} of objectsOf(schema)) {
        const reference = groups?.items?.$ref?.split('/').at(-1);
        if (reference === undefined) continue;
        const {properties = {}} = schema.definitions?.[decodeURIComponent(reference)] ?? {};
        // what compares two machines has its number in each
        assert.ok('group' in properties || ('a' in properties && 'b' in properties), reference);
      }
    });

    it(`a field that has another name now stands beside it, and is of its type (${name})`, () => {
      for (const object of objectsOf(schema)) {
        for (const [old, field] of Object.entries(object)) {
          const now = oldNameOf(field);
          if (now !== undefined) assert.deepEqual(object[now]?.type, field.type, `${old} of ${name}`);
        }
      }
    });
  }

  it('and name the descriptor of a VM, the address of a device and the number of a group as the others do', () => {
    const old = schemas.flatMap(({name, schema}) =>
      objectsOf(schema).flatMap((object) =>
        Object.entries(object).flatMap(([key, field]) => {
          const now = oldNameOf(field);
          return now === undefined ? [] : [`${name} ${key} ${now}`];
        }),
      ),
    );
    assert.deepEqual([...new Set(old)].sort(), [
      'bind.json device address',
      'groups.json id group',
      'probe.json id group',
      'run.json device address',
      'unbind.json device address',
      'vm.json vmFd fd',
    ]);
  });

  it('with the same value under both names', async () => {
    using built = machine({
      units: {dmar0: intel('f00f4a')},
      groups: {7: [pci('0000:01:00.0', {unit: 'dmar0'})]},
    });
    const {stdout} = await run(Groups, ['--json', '--sysroot', built.root]);
    const {groups} = JSON.parse(stdout) as GroupsDocument;
    assert.deepEqual(
      groups.map(({group, id}) => [group, id]),
      [[7, 7]],
    );
  });
});
