import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import type {GroupsDocument, ListedGroup} from '../../src/groups/groups-document.js';
import type {LabIommu} from '../../src/lab/iommu-choice.js';
import {guestProgram} from '../support/guest-program.js';
import {lab} from '../support/lab.js';
import {scratch} from '../vm/vmm.js';
import type {GroupAnswer} from './assignable-in-lab.js';

/**
 * The guests, and whether a VM can have a group there that is bound as a whole. Debian's 6.1 has no driver for virtio-iommu, so no
 * groups with it.
 */
const GUESTS: readonly {
  kernel: string;
  iommu: LabIommu;
  parameters?: string[];
  bound: ListedGroup['assignable']['verdict'];
}[] = [
  {kernel: '6.1', iommu: 'intel', bound: 'yes'},
  {kernel: '6.1', iommu: 'intel', parameters: ['intremap=off'], bound: 'no'},
  {kernel: '6.1', iommu: 'amd', bound: 'yes'},
  {kernel: '6.12', iommu: 'intel', bound: 'yes'},
  {kernel: '6.12', iommu: 'intel', parameters: ['intremap=off'], bound: 'no'},
  {kernel: '6.12', iommu: 'amd', bound: 'yes'},
  {kernel: '6.12', iommu: 'virtio', bound: 'yes'},
];

/** Binds the NIC behind the switch, so that there is a group that VFIO has and that other drivers are in the way of. */
const observe = (program: string): string => `
set -e
group=$(kvfio groups --driver xhci_hcd --columns group --no-header)
nic=$(kvfio groups --group $group --driver e1000e --columns address --no-header)
kvfio bind --device $nic
kvfio groups --json > $KVFIO_LAB_OUT/groups.json
node "$KVFIO_LAB_OUT/${program}" > $KVFIO_LAB_OUT/answers.json
`;

/** The calls that are made of a group; binding is another matter. */
const CALLS = ['open', 'VFIO_GROUP_SET_CONTAINER', 'VFIO_SET_IOMMU'];

const byGroup = (a: GroupAnswer, b: GroupAnswer): number => a.group - b.group;

for (const {kernel, iommu, parameters = [], bound} of GUESTS) {
  describe(
    ['whether a VM can have a group, on Linux', kernel, 'with IOMMU', iommu, ...parameters].join(' '),
    () => {
      let groups: ListedGroup[];
      let answers: GroupAnswer[];

      before(async function () {
        this.timeout(600_000);
        using folder = scratch();
        const program = guestProgram(folder.path('.'), 'lab/assignable-in-lab.ts');
        const {exitCode, stderr} = await lab(this, {
          kernel,
          iommu,
          parameters,
          out: folder.path('.'),
          task: {script: observe(program)},
        });
        assert.equal(exitCode, 0, stderr.toString());
        const read = (name: string): unknown =>
          JSON.parse(readFileSync(folder.path(name), 'utf8')) as unknown;
        ({groups} = read('groups.json') as GroupsDocument);
        answers = read('answers.json') as GroupAnswer[];
      });

      it('is as the kernel answers, by the call and the errno of the first obstacle', () => {
        const predicted = groups.map(({id, viable, assignable: {verdict, obstacles}}) => {
          const first = obstacles.find(({call, certain}) => certain && CALLS.includes(call));
          return {
            group: id,
            verdict,
            viable: first?.call === 'open' ? null : viable,
            refused: first === undefined ? null : {call: first.call, errno: first.errno},
          };
        });
        const seen = answers.map((answer) => ({verdict: answer.refused === null ? 'yes' : 'no', ...answer}));
        assert.deepEqual(predicted, seen.sort(byGroup));
      });

      it('is shown by a group that is bound, one with drivers in its way, and one that VFIO does not have', () => {
        const verdictOf = (checks: string): string | undefined =>
          groups.find(({assignable: {obstacles}}) =>
            obstacles
              .map(({check}) => check)
              .join(' ')
              .startsWith(checks),
          )?.assignable.verdict;
        const whole = groups.find(
          ({devices, viable}) => viable && devices.some(({boundToVfio}) => boundToVfio),
        );
        assert.equal(whole?.assignable.verdict, bound);
        assert.equal(verdictOf('drivers'), 'no');
        assert.equal(verdictOf('bound drivers'), 'no');
      });
    },
  );
}
