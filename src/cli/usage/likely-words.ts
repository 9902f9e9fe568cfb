/** Words that other tools have for what kvfio calls otherwise, where the spelling is too far for {@link nearest}. */

/** What is typed for a command. A value of several words is a command with its flags. */
export const COMMAND_SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  ls: ['groups'],
  list: ['groups'],
  show: ['groups'],
  devices: ['groups'],
  explain: ['groups', '--explain'],
  iommu: ['groups'],
  ps: ['vms'],
  info: ['status'],
  check: ['doctor'],
  diagnose: ['doctor'],
  remove: ['detach'],
  rm: ['detach'],
  release: ['unbind'],
  bench: ['probe'],
  measure: ['probe'],
  wbinvd: ['probe'],
  dump: ['snapshot'],
  compare: ['diff'],
  shell: ['lab'],
  version: ['--version'],
};

/** What is typed for a flag, by its whole form with its dashes. */
export const FLAG_SYNONYMS: Readonly<Record<string, string>> = {
  '--colour': '--color',
  '--no-colour': '--no-color',
  '--socket': '--vm-sock',
  '--sock': '--vm-sock',
  '--vm': '--vm-sock',
  '--process': '--pid',
  '-p': '--pid',
  '--bdf': '--device',
  '--address': '--device',
  '--fields': '--columns',
  '--simulate': '--dry-run',
  '-n': '--dry-run',
  '--count': '--samples',
  '--time': '--duration',
  '--bytes': '--dirty',
};

/** Flags of other tools that choose a form of output, which kvfio has a flag for each of. */
export const OUTPUT_FLAGS: readonly string[] = ['--output', '-o', '--format'];

/** What is typed for a value of a flag with a fixed list. */
export const VALUE_SYNONYMS: Readonly<Record<string, string>> = {
  vga: 'gpu',
  display: 'gpu',
  graphics: 'gpu',
  net: 'nic',
  network: 'nic',
  ethernet: 'nic',
  eth: 'nic',
  disk: 'nvme',
  storage: 'nvme',
  sound: 'audio',
  yes: 'enforced',
  no: 'not-enforced',
  vtd: 'intel',
  'vt-d': 'intel',
  amdvi: 'amd',
  'amd-vi': 'amd',
  emulation: 'tcg',
};
