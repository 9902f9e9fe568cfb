/** Rooms of src/, from the top. An import may stay in its room or point down, never up and never to a neighbour. */
const rows = [
  ['commands'],
  ['cli'],
  ['watch'],
  ['snapshot', 'diff', 'export'],
  ['lab', 'probe', 'doctor', 'groups'],
  ['kvm-vfio'],
  ['vfio', 'demo-vm'],
  ['iommu'],
  ['owner', 'pci'],
  ['vm'],
  ['kvm', 'host'],
  ['linux'],
];

const FLOOR = '^src/[^/]+\\.ts$';

/** What a file of each row may not import. */
const upward = rows.slice(1).map((rooms, index) => ({
  name: `${rooms.join('-')}-knows-nothing-above`,
  comment: 'Arrows point down only (ARCHITECTURE.md).',
  severity: 'error',
  from: {path: `^src/(${rooms.join('|')})/`},
  to: {
    path: `^src/(${rows
      .slice(0, index + 1)
      .flat()
      .join('|')})/`,
  },
}));

/** Rooms that share a row do not know each other; commands are one file each and know only what is below. */
const sideways = rows
  .flat()
  .filter((room) => room !== 'cli')
  .map((room) => ({
    name: `${room}-beside`,
    severity: 'error',
    from: {path: `^src/${room}/`},
    to: {
      path: `^src/(${rows.find((row) => row.includes(room)).join('|')})/`,
      ...(room === 'commands' ? {} : {pathNot: `^src/${room}/`}),
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
      name: 'every-room-has-a-row',
      severity: 'error',
      from: {},
      to: {path: '^src/', pathNot: `^src/(${rows.flat().join('|')})/|${FLOOR}|^src/schemas/`},
    },
    {name: 'the-floor-knows-no-room', severity: 'error', from: {path: FLOOR}, to: {path: '^src/[^/]+/'}},
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
