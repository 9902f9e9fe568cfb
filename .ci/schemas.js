// Writes a JSON Schema for every document that a command prints, from the TypeScript type that the code uses.
import {mkdirSync, writeFileSync} from 'node:fs';
import {createGenerator} from 'ts-json-schema-generator';

const DOCUMENTS = [
  ['groups', 'src/groups/groups-document.ts', 'GroupsDocument'],
  ['snapshot', 'src/commands/snapshot.ts', 'SnapshotDocument'],
  ['diff', 'src/diff/diff-document.ts', 'DiffDocument'],
  ['diff-baseline', 'src/diff/baseline-document.ts', 'BaselineDocument'],
  ['export', 'src/commands/export.ts', 'ExportDocument'],
  ['export-ansible', 'src/export/ansible.ts', 'AnsibleFacts'],
  ['export-nfd-object', 'src/export/nfd-object.ts', 'NodeFeature'],
  ['export-cdi', 'src/export/cdi.ts', 'CdiSpec'],
  ['lab', 'src/commands/lab.ts', 'LabDocument'],
  ['change', 'src/kvm-vfio/change-document.ts', 'ChangeDocument'],
  ['status', 'src/kvm-vfio/status.ts', 'StatusDocument'],
  ['vm', 'src/commands/vm.ts', 'VmDocument'],
  ['probe', 'src/probe/probe-document.ts', 'ProbeDocument'],
  ['probe-against', 'src/probe/against/measure-against.ts', 'AgainstDocument'],
  ['probe-compare', 'src/probe/compare.ts', 'CompareDocument'],
  ['bind', 'src/vfio/bind/bind-document.ts', 'BindDocument'],
  ['unbind', 'src/vfio/bind/bind-document.ts', 'UnbindDocument'],
  ['run', 'src/vmm/run-document.ts', 'RunDocument'],
  ['vmm-args', 'src/vmm/run-document.ts', 'VmmArgsDocument'],
  ['vms', 'src/kvm-vfio/vms.ts', 'VmsDocument'],
  ['vms-watch', 'src/kvm-vfio/diff-vms.ts', 'WatchDocument'],
  ['watch', 'src/watch/watch-line.ts', 'WatchLine'],
  ['doctor', 'src/doctor/doctor.ts', 'DoctorDocument'],
  ['completion', 'src/commands/completion.ts', 'CompletionDocument'],
  ['error', 'src/cli/output/report.ts', 'ErrorDocument'],
];

mkdirSync('src/schemas', {recursive: true});
for (const [name, path, type] of DOCUMENTS) {
  const schema = createGenerator({
    path,
    type,
    tsconfig: 'tsconfig.json',
    skipTypeCheck: true,
    sortProps: true,
  }).createSchema(type);
  writeFileSync(`src/schemas/${name}.json`, `${JSON.stringify(schema, null, 2)}\n`);
}
