/** Layers of src/, from the top. An import may stay in its layer's folder or point down, never up. */
const layers = [
  ['commands'],
  ['cli'],
  ['snapshot', 'diff', 'export'],
  ['lab', 'probe', 'doctor', 'groups'],
  ['kvm-vfio'],
  ['vm', 'vfio'],
  ['iommu'],
  ['linux'],
];

const upward = layers.slice(1).map((folders, index) => ({
  name: `${folders.join('-')}-knows-nothing-above`,
  comment: 'Arrows point down only (ARCHITECTURE.md).',
  severity: 'error',
  from: {path: `^src/(${folders.join('|')})/`},
  to: {
    path: `^src/(${layers
      .slice(0, index + 1)
      .flat()
      .join('|')})/`,
  },
}));

/** Domain folders that share a row do not know each other; commands are one file each and know only what is below. */
const sideways = layers
  .flat()
  .filter((folder) => folder !== 'cli')
  .map((folder) => ({
    name: `${folder}-beside`,
    severity: 'error',
    from: {path: `^src/${folder}/`},
    to: {
      path: `^src/(${layers.find((row) => row.includes(folder)).join('|')})/`,
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
      name: 'failure-is-the-floor',
      severity: 'error',
      from: {path: '^src/failure\\.ts$'},
      to: {path: '^src/'},
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
