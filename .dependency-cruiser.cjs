/** Folders of src/, from the top. An import may stay in its folder or point down, never up and never to a neighbour. */
const rows = [
  ['commands'],
  ['cli'],
  ['watch'],
  ['snapshot', 'diff', 'export'],
  ['lab', 'probe', 'doctor', 'groups', 'vmm'],
  ['kvm-vfio'],
  ['vfio', 'demo-vm'],
  ['iommu'],
  ['owner', 'pci'],
  ['vm'],
  ['kvm', 'host'],
  ['linux'],
];

/** Files of src/ itself, which every folder may import. */
const SHARED = '^src/[^/]+\\.ts$';

/** What a file of each row may not import. */
const upward = rows.slice(1).map((folders, index) => ({
  name: `${folders.join('-')}-knows-nothing-above`,
  comment: 'Arrows point down only (ARCHITECTURE.md).',
  severity: 'error',
  from: {path: `^src/(${folders.join('|')})/`},
  to: {
    path: `^src/(${rows
      .slice(0, index + 1)
      .flat()
      .join('|')})/`,
  },
}));

/** Folders that share a row do not know each other; commands are one file each and know only what is below. */
const sideways = rows
  .flat()
  .filter((folder) => folder !== 'cli')
  .map((folder) => ({
    name: `${folder}-beside`,
    severity: 'error',
    from: {path: `^src/${folder}/`},
    to: {
      path: `^src/(${rows.find((row) => row.includes(folder)).join('|')})/`,
      ...(folder === 'commands' ? {} : {pathNot: `^src/${folder}/`}),
    },
  }));

module.exports = {
  forbidden: [
    {name: 'no-circular', severity: 'error', from: {}, to: {circular: true}},
    {
      name: 'no-orphans',
      severity: 'error',
      from: {orphan: true, path: '^src/', pathNot: '^src/commands/'},
      to: {},
    },
    {
      name: 'every-folder-has-a-row',
      severity: 'error',
      from: {},
      to: {path: '^src/', pathNot: `^src/(${rows.flat().join('|')})/|${SHARED}|^src/schemas/`},
    },
    {
      name: 'shared-files-import-no-folder',
      severity: 'error',
      from: {path: SHARED},
      to: {path: '^src/[^/]+/'},
    },
    {
      name: 'cli-output-knows-nothing-else-of-cli',
      severity: 'error',
      from: {path: '^src/cli/output/'},
      to: {path: '^src/cli/', pathNot: '^src/cli/output/'},
    },
    {
      name: 'each-way-to-an-owner-knows-no-other',
      severity: 'error',
      from: {path: '^src/owner/(agent|inject)/'},
      to: {path: '^src/owner/(agent|inject|direct)', pathNot: '^src/owner/$1/'},
    },
    {
      name: 'only-linux-calls-libc',
      severity: 'error',
      from: {path: '^src/', pathNot: '^src/linux/'},
      to: {path: 'ffi-rs'},
    },
    {
      name: 'no-development-package-at-run-time',
      severity: 'error',
      from: {path: '^src/'},
      to: {dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined']},
    },
    ...upward,
    ...sideways,
  ],
  options: {
    doNotFollow: {path: 'node_modules'},
    tsConfig: {fileName: 'tsconfig.json'},
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {exportsFields: ['exports'], conditionNames: ['import', 'node', 'types']},
  },
};
