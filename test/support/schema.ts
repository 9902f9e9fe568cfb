import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {Ajv} from 'ajv';
import {PROJECT} from './run.js';

const ajv = new Ajv({strict: true, allErrors: true, allowUnionTypes: true});

/** Parses the one JSON document in `stdout` and checks it against a published schema. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the schema is what vouches for it
export const documentOf = <T>(
  stdout: string,
  schema:
    | 'groups'
    | 'snapshot'
    | 'diff'
    | 'diff-baseline'
    | 'export'
    | 'export-ansible'
    | 'export-nfd-object'
    | 'export-cdi'
    | 'change'
    | 'status'
    | 'vm'
    | 'vms'
    | 'vms-watch'
    | 'watch'
    | 'run'
    | 'vmm-args'
    | 'doctor'
    | 'bind'
    | 'unbind'
    | 'probe'
    | 'probe-against'
    | 'probe-compare'
    | 'error',
): T => {
  const validate =
    ajv.getSchema(schema) ??
    ajv
      .addSchema(
        JSON.parse(readFileSync(join(PROJECT, 'src/schemas', `${schema}.json`), 'utf8')) as object,
        schema,
      )
      .getSchema(schema);
  assert.ok(validate);
  const document = JSON.parse(stdout) as T;
  assert.ok(validate(document), JSON.stringify(validate.errors, null, 1));
  return document;
};
