import {readMachineRecord} from '../../probe/machine-record.js';
import {DirectoryTree} from '../../host/directory-tree.js';

/** The answer of `kvfio --version --verbose`: what a report of a fault has to name. */
export const versionLines = (version: string, root: string): string[] => {
  const {kernel, architecture, kvmModule} = readMachineRecord(new DirectoryTree(), {
    pinnedCpu: null,
    kvfioVersion: version,
  });
  return [
    `kvfio ${version}`,
    `package ${root}`,
    `Node ${process.version}, V8 ${process.versions.v8}`,
    `kernel ${kernel ?? 'unknown'}, ${architecture ?? process.arch}`,
    `KVM back end ${kvmModule ?? 'unknown'}`,
  ];
};
