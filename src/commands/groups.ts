import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {groupsLines, hiddenLine, noGroupsLine} from '../cli/answers/groups-text.js';
import {leftOutLines, rankingLines} from '../cli/answers/ranking-text.js';
import {INT_MAX} from '../cli/flags/int-max.js';
import {SELECTOR_HELP, selectedDevices} from '../cli/flags/selected-devices.js';
import {sysrootFlag} from '../cli/flags/sysroot-flag.js';
import {GROUPS_COLUMNS, USUAL_GROUPS_COLUMNS, type GroupsRow} from '../cli/answers/groups-table.js';
import type {Column, Needed} from '../cli/output/table.js';
import {tableChoice, tableFlags, type TableChoice} from '../cli/flags/table-flags.js';
import {usageFailure} from '../cli/usage/usage-failure.js';
import type {Device} from '../iommu/device.js';
import type {Host} from '../iommu/host.js';
import {groupsDocument, openGroupsDocument, type GroupsDocument} from '../groups/groups-document.js';
import {rankingOf} from '../groups/ranking/ranking-of.js';
import {openHost, requireGroups, wholeHost} from '../iommu/host.js';
import {CLASS_FILTERS, type ClassFilter} from '../pci/class.js';
import {isIds, selector} from '../iommu/select.js';
import type {Verdict} from '../iommu/snoop-control.js';
import {DirectoryTree} from '../host/directory-tree.js';
import type {HostTree} from '../host/tree.js';
import type {SelectedDevice} from '../pci/selector/select-device.js';
import {openTree} from '../host/open-tree.js';
import {examine} from '../vfio/eligibility/examined.js';

/** Kinds of devices that are given to VMs for their own sake. */
const RANKED_KINDS = ['gpu', 'nic', 'nvme', 'usb'] as const satisfies readonly ClassFilter[];

export default class Groups extends BaseCommand {
  static override summary = 'Show the IOMMU groups, and whether the IOMMU makes their DMA coherent.';

  static override description = `SNOOP says whether the IOMMU makes the DMA coherent with the CPU caches, and ASSIGNABLE whether a VM can have the device; --explain says why.

A PCIe device may mark its requests No-Snoop, so that they bypass the CPU caches. An IOMMU with snoop control can force these requests to snoop the caches all the same: the DMA is then coherent (SNOOP is "enforced"). Without snoop control ("not-enforced") KVM must execute the WBINVD of a guest that gets the device, and honour the guest's memory types.

ASSIGNABLE is "yes", "no", "unknown", or "after bind" if "kvfio bind" is all that is missing. One check is about the drivers of the members: a group is viable if each member has a VFIO driver, another one that VFIO accepts, or none. --explain lists the checks that stand in the way, in the kernel's order, and what removes each.

Among the other --columns, OBSTACLES has the names of these checks. VIABLE has "blocks" for a member whose driver keeps the group from being viable. NOSNOOP is the Enable No Snoop bit of the device: "on" lets it send such requests, and without root it is "unknown".

Filters choose devices. In --json their groups stay whole, and each device says whether it matched.

--rank puts the groups into the order in which a VM should get them. These criteria decide, the first that differs: whether a VM can have the group, and before or after "kvfio bind"; how many functions go together; with --numa, the distance to that NUMA node; how the functions are reset, and what a reset of the bus takes along; and whether one of them is the boot display. Where all are equal, the smaller number comes first. With --columns or --csv the places are a table. --coherent leaves out a group whose verdict is "unknown", too, and a note names it.`;

  static override usage = ['groups [FLAGS]', 'groups --rank [--for KIND] [--numa N] [--coherent] [FLAGS]'];

  static override examples = [
    {
      description: 'what a VM gets, and why',
      command: '<%= config.bin %> <%= command.id %> --group 12 --explain',
    },
    {
      description: 'which GPU to give to a VM',
      command: '<%= config.bin %> <%= command.id %> --rank --for gpu --numa 0',
    },
    {description: 'all groups', command: '<%= config.bin %> <%= command.id %>'},
    {
      description: 'addresses of the GPUs that make a VM non-coherent',
      command:
        '<%= config.bin %> <%= command.id %> --class gpu --snoop not-enforced --columns address --no-header',
    },
    {
      description: 'another machine',
      command: '<%= config.bin %> <%= command.id %> --sysroot machine.json.gz',
    },
  ];

  static override flags = {
    group: Flags.integer({
      char: 'g',
      description: 'only this group',
      multiple: true,
      min: 0,
      max: INT_MAX,
      helpValue: 'N',
    }),
    class: Flags.option({options: Object.keys(CLASS_FILTERS) as ClassFilter[], multiple: true})({
      char: 'c',
      helpValue: 'CLASS',
      description: `only devices of this kind: ${Object.keys(CLASS_FILTERS).join(', ')}`,
      summary: 'only gpu, nic, nvme, usb, audio or bridge devices',
      helpGroup: 'FILTER',
    }),
    driver: Flags.string({
      summary: 'only devices of this driver; "none": of no driver',
      description: 'only devices of this driver, or "none" for devices without one',
      multiple: true,
      helpGroup: 'FILTER',
    }),
    snoop: Flags.option({options: ['enforced', 'not-enforced', 'unknown'] as Verdict[], multiple: true})({
      helpValue: 'VERDICT',
      description: 'only devices with this verdict: enforced, not-enforced, unknown',
      summary: 'only enforced, not-enforced or unknown devices',
      helpGroup: 'FILTER',
    }),
    device: Flags.string({
      char: 'd',
      summary: 'only this device, as 0000:01:00.0, eth0 or 8086:10d3',
      description: `only this device, by ${SELECTOR_HELP}; ids without a number, as 8086:10d3 or 8086:, are for all devices that have them`,
      multiple: true,
      helpGroup: 'FILTER',
      helpValue: 'ID|BDF',
    }),
    explain: Flags.boolean({
      char: 'e',
      exclusive: ['csv', 'columns', 'sort', 'no-header'],
      description: 'say in words what the answers mean and rest on',
    }),
    rank: Flags.boolean({
      description: 'order the groups as a VM should get them, each with the reasons for its place',
      helpGroup: 'RANK',
      exclusive: ['explain', 'regions'],
    }),
    for: Flags.option({options: RANKED_KINDS, multiple: true})({
      description: `rank only groups with a device of this kind: ${RANKED_KINDS.join(', ')}`,
      helpGroup: 'RANK',
      helpValue: 'KIND',
      dependsOn: ['rank'],
      exclusive: ['class'],
    }),
    numa: Flags.integer({
      description: 'of groups that are equally assignable and isolated, rank those near this NUMA node first',
      min: 0,
      max: INT_MAX,
      helpGroup: 'RANK',
      helpValue: 'N',
      dependsOn: ['rank'],
    }),
    coherent: Flags.boolean({
      description: 'rank only groups whose verdict is "enforced": with them a VM stays coherent',
      helpGroup: 'RANK',
      dependsOn: ['rank'],
    }),
    regions: Flags.boolean({description: 'show the reserved regions of each group', helpGroup: 'OUTPUT'}),
    sysroot: {...sysrootFlag, helpGroup: 'SETUP'},
    ...tableFlags(GROUPS_COLUMNS),
  };

  async run(): Promise<GroupsDocument | null> {
    const {flags} = await this.parse(Groups);
    if (flags.device?.some((name) => name.trim() === '') === true)
      throw usageFailure(
        '--device takes an address or ids, and none is given.',
        'Run "kvfio groups" to see the devices there are.',
      );
    const list = flags.device?.find((name) => name.includes(','));
    if (list !== undefined)
      throw usageFailure(
        `--device takes one address or one pair of ids, not "${list}".`,
        'Give each device a --device of its own.',
      );
    const classes = flags.for ?? flags.class;
    const isFiltered = [classes, flags.driver, flags.snoop, flags.device].some((each) => each !== undefined);
    const usual = [
      ...(flags.rank ? ['place'] : []),
      ...USUAL_GROUPS_COLUMNS,
      ...(isFiltered ? ['members'] : []),
    ];
    const table = tableChoice(GROUPS_COLUMNS, usual, flags);
    const tree = openTree(flags.sysroot);
    const assigns = flags.explain || flags.rank || this.needs(table, 'assignable');
    const opened = openHost(tree, {
      // a reset of the bus may reach other groups
      onlyGroups: flags.rank ? undefined : flags.group,
      paths: flags.explain,
      regions: flags.regions || assigns,
      details: flags.explain || flags.rank || this.needs(table, 'details'),
      noSnoop: flags.explain || this.needs(table, 'noSnoop'),
      names: new DirectoryTree(),
    });
    const obstacles = flags.explain || flags.rank || this.needs(table, 'obstacles');
    const options = {...flags, obstacles, examined: assigns ? examine(tree, opened) : null};
    const selection = {classes, drivers: flags.driver, verdicts: flags.snoop};
    // whether something that was named is there has to be known before the first group is printed
    if (this.jsonEnabled() && !flags.rank && flags.group === undefined && flags.device === undefined) {
      const test = selector(selection, {groups: [], ungrouped: []});
      let isEmpty = test !== null;
      const wanted = test && ((device: Device) => test(device) && !(isEmpty = false));
      const document = openGroupsDocument(opened, wanted, options);
      // who left before its end is told nothing: to know what to tell, the rest of the machine would have to be read
      if (await this.printDocument(document)) await this.about(document, isEmpty);
      return null;
    }
    const whole = wholeHost(opened);
    requireGroups(whole, flags.group ?? []);
    const {selected, devices} = namedDevices(tree, whole, flags.device, (line) => {
      this.note(line);
    });
    const wanted = selector({...selection, devices}, whole);
    const ranking = flags.rank ? rankingOf(tree, whole, flags) : null;
    const document = groupsDocument(onlyGroups(whole, flags.group), wanted, {...options, ranking, selected});
    if (!this.jsonEnabled()) {
      const isTable = [flags.columns, flags.sort].some((each) => each !== undefined);
      const look = await this.look();
      await this.printManyLines(
        flags.rank && !isTable && !flags.csv && !flags['no-header']
          ? rankingLines(document, look)
          : await groupsLines(document, {table, ...flags, ...look}),
      );
    }
    if (document.ranking !== null)
      for (const line of leftOutLines(document.ranking, document.ungrouped)) this.note(line);
    await this.about(document, wanted !== null && document.groups.length + document.ungrouped.length === 0);
    if (isFiltered && !flags.explain && !flags.rank && table.columns.every(({name}) => name !== 'members')) {
      const hidden = hiddenLine(document.groups);
      if (hidden !== null) this.note(hidden);
    }
    return document;
  }

  private async about(
    {warnings, noGroups}: Pick<GroupsDocument, 'warnings' | 'noGroups'>,
    isEmpty: boolean,
  ): Promise<void> {
    await this.warnOf(warnings);
    if (noGroups !== null) this.note(noGroupsLine(noGroups));
    if (isEmpty) this.note('no device matches.');
  }

  /** A table reads only what its columns show; a document has it all. */
  private needs(table: TableChoice<GroupsRow>, what: Needed): boolean {
    const columns = table.sort === null ? table.columns : [...table.columns, table.sort.column];
    const isNeeded = ({needs}: Column<GroupsRow>): boolean =>
      needs === what || (what === 'assignable' && needs === 'obstacles');
    return this.jsonEnabled() || columns.some(isNeeded);
  }
}

/** The machine as if only these groups had been read; all when none is named. */
const onlyGroups = (host: Host, ids: readonly number[] | undefined): Host =>
  ids === undefined ? host : {...host, groups: host.groups.filter(({id}) => ids.includes(id)), ungrouped: []};

/** The devices of --device: those that have some ids, and each of the others by its address. */
const namedDevices = (
  tree: HostTree,
  {groups, ungrouped}: Host,
  texts: readonly string[] | undefined,
  note: (line: string) => void,
): {selected: SelectedDevice[]; devices: readonly string[] | undefined} => {
  if (texts === undefined) return {selected: [], devices: undefined};
  const all = [...groups.flatMap((group) => group.devices), ...ungrouped];
  const selected = selectedDevices(
    tree,
    texts.filter((text) => !isIds(text)),
    {
      note,
      isOnlyShown: true,
      isElsewhere: (name) => all.some(({address, bus}) => address === name && bus !== 'pci'),
    },
  );
  return {selected, devices: [...texts.filter(isIds), ...selected.map(({address}) => address)]};
};
